//! A worker: one long-lived process per side that runs workloads when told to and times them itself, by the monotonic
//! clock. So the start of a session is not in the times, and the sides take turns within one run.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Reads a line `NAME<TAB>SCRIPT`, runs the script with bash in its own working directory and answers with the
/// nanoseconds that it took and its exit status.
const LOOP: &str = r#"
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
$| = 1;
print "\nREADY\n";
while (my $line = <STDIN>) {
    chomp $line;
    $line =~ s/\r$//;
    my ($name, $script) = split /\t/, $line, 2;
    my $began = clock_gettime(CLOCK_MONOTONIC);
    my $status = system 'bash', '-c', $script;
    my $took = clock_gettime(CLOCK_MONOTONIC) - $began;
    printf "\nDONE %s %d %d\n", $name, $took * 1e9, $status;
}
"#;

/// A running worker; ended when dropped.
pub(crate) struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts it: `command` is what the worker's own command line is appended to.
    pub(crate) fn start(mut command: Command) -> Result<Self, Box<dyn Error>> {
        let mut child = command
            .args(["perl", "-e", LOOP])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        let mut worker = Self { child, input, output };
        worker.answer("READY")?;
        Ok(worker)
    }

    /// Runs one script and returns the time that it took.
    pub(crate) fn run(&mut self, name: &str, script: &str) -> Result<Duration, Box<dyn Error>> {
        let script = script.replace('\n', "; ");
        let input = self.input.as_mut().ok_or("the worker has ended")?;
        writeln!(input, "{name}\t{script}")?;
        input.flush()?;
        let answer = self.answer(&format!("DONE {name} "))?;
        match answer.split(' ').collect::<Vec<_>>().as_slice() {
            [nanoseconds, "0"] => Ok(Duration::from_nanos(nanoseconds.parse()?)),
            _ => Err(format!("{name} failed: {answer}").into()),
        }
    }

    /// What follows `begin` on the next line that begins so. (A terminal may echo and add a carriage return.)
    fn answer(&mut self, begin: &str) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.output.read_line(&mut line)? == 0 {
                return Err(format!("the worker ended instead of answering {begin}").into());
            }
            if let Some(rest) = line.trim_end().strip_prefix(begin.trim_end()) {
                return Ok(rest.trim().to_owned());
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // End of input ends the loop, and with it the session.
        self.input = None;
        let _ = self.child.wait();
    }
}
