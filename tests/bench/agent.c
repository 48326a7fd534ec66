/* The agent whose first instruction the benchmarks wait for: prints the monotonic clock, in nanoseconds. Linked
   statically, so that it is the same in a session, in a runc bundle and in a Docker image. */
#include <stdio.h>
#include <time.h>

int main(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
		return 1;
	printf("%lld\n", now.tv_sec * 1000000000LL + now.tv_nsec);
	return 0;
}
