//! `custody-verify`: checks an evidence pack or a record's directory, without network, database or the installation
//! that made it, and explains its verdict. It reads what it is given and writes nothing but its answer.

mod arguments;
mod verdict;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use custody_model::ErrorCode;

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (verdict, code) = match verdict::reach(&arguments) {
        Ok(reached) => reached,
        Err(failure) => {
            return match say(&mut std::io::stderr(), &failure.shown(arguments.json)) {
                Ok(()) | Err(_) => ExitCode::from(failure.code().exit_code()),
            };
        }
    };
    match say(&mut std::io::stdout(), &verdict.shown(arguments.json)) {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::from(ErrorCode::Io.exit_code()),
    }
}

fn say(out: &mut dyn Write, text: &str) -> std::io::Result<()> {
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}
