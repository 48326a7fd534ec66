//! `custody doctor`: what this machine offers, and what that means.

use std::process::ExitCode;

use custody_model::ErrorCode;
use serde::Serialize;

use crate::failure::Failure;
use crate::output;
use crate::wire::Wire;

/// One thing that was looked for.
#[derive(Serialize)]
struct Check {
    name: String,
    usable: bool,
    found: String,
    means: String,
}

/// Looks, and exits with 70 if sessions can't run here.
pub fn run(wire: &Wire) -> Result<ExitCode, Failure> {
    let mut checks: Vec<Check> = Vec::new();
    for (name, usable, found, means) in crate::wire::driver_probes() {
        checks.push(Check { name, usable, found, means });
    }
    for probe in custody_workspace::observe::probe() {
        checks.push(Check {
            name: probe.name.to_owned(),
            usable: probe.found,
            found: if probe.found { "yes".to_owned() } else { "no".to_owned() },
            means: probe.meaning,
        });
    }
    for probe in custody_keeper::probe::probe() {
        checks.push(Check {
            name: probe.name.to_owned(),
            usable: probe.usable,
            found: probe.found,
            means: probe.means.to_owned(),
        });
    }
    let ready = checks.iter().all(|check| check.usable);
    output::result(wire.format, &checks, || {
        let mut text = String::new();
        for check in &checks {
            let mark = if check.usable { "ok  " } else { "LACK" };
            text.push_str(&format!(
                "{mark} {:<24} {}\n     {}\n",
                check.name, check.found, check.means
            ));
        }
        text.push_str(match ready {
            true => "\nsessions can run here\n",
            false => "\nwhat lacks above keeps some sessions from running here\n",
        });
        text
    })?;
    Ok(if ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(ErrorCode::EnvironmentLacks.exit_code())
    })
}
