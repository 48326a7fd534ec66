# Connects that block, under signals: what the kernel answers, and how often the handlers ran.
use strict; use warnings;
use Socket; use Fcntl; use POSIX qw(:signal_h :errno_h); use Time::HiRes qw(setitimer ITIMER_REAL);
$| = 1;

my %names = (EINTR, 'EINTR', EINPROGRESS, 'EINPROGRESS', EALREADY, 'EALREADY', ECONNREFUSED, 'ECONNREFUSED');
sub told { my ($done) = @_; return $done ? 'connected' : ($names{$! + 0} // "error $!") }

# A listener whose queue is full: a connect to it blocks.
sub full {
    socket(my $listener, PF_INET, SOCK_STREAM, 0) or die;
    bind($listener, sockaddr_in(0, INADDR_LOOPBACK)) or die;
    listen($listener, 0) or die;
    my $address = getsockname($listener);
    my @fill;
    for (1 .. 3) {
        socket(my $socket, PF_INET, SOCK_STREAM | O_NONBLOCK, 0) or die;
        connect($socket, $address);
        push @fill, $socket;
    }
    return ($listener, $address, \@fill);
}

for my $limit (0, 2) {
    for my $flags (0, SA_RESTART) {
        my ($listener, $address, $fill) = full();
        my ($ran, @taken) = (0);
        my $handler = sub {
            $ran++;
            # From the second signal on there is room, so that what waits on can end: those that fill the queue try again, too.
            if ($ran >= 2) { while (accept(my $peer, $listener)) { push @taken, $peer } }
        };
        sigaction(SIGALRM, POSIX::SigAction->new($handler, POSIX::SigSet->new, $flags));
        socket(my $socket, PF_INET, SOCK_STREAM, 0) or die;
        setsockopt($socket, SOL_SOCKET, SO_SNDTIMEO, pack('l!l!', $limit, 0)) or die;
        fcntl($listener, F_SETFL, O_NONBLOCK);
        setitimer(ITIMER_REAL, 0.3, 0.3);
        my $first = told(connect($socket, $address));
        setitimer(ITIMER_REAL, 0);
        $first .= ', then ' . told(connect($socket, $address)) if $limit;
        print "limit=$limit restart=$flags: $first after ", ($ran > 1 ? 'some signals' : "$ran signals"), "\n";
    }
}

# Nobody listens, and a blocked signal interrupts nothing.
socket(my $free, PF_INET, SOCK_STREAM, 0) or die;
bind($free, sockaddr_in(0, INADDR_LOOPBACK)) or die;
my $nobody = getsockname($free);
socket(my $socket, PF_INET, SOCK_STREAM, 0) or die;
print 'nobody: ', told(connect($socket, $nobody)), "\n";
my ($listener, $address, $fill) = full();
my $ran = 0;
sigaction(SIGALRM, POSIX::SigAction->new(sub { $ran++ }, POSIX::SigSet->new, 0));
sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGALRM));
socket(my $last, PF_INET, SOCK_STREAM, 0) or die;
setsockopt($last, SOL_SOCKET, SO_SNDTIMEO, pack('l!l!', 1, 0)) or die;
setitimer(ITIMER_REAL, 0.2, 0);
print 'blocked: ', told(connect($last, $address)), " after $ran signals\n";
