//! Verbs as lists of steps: each with what it does and how that is undone.
//!
//! A step may be done twice with the result of once: after a crash the reconciler begins again wherever the record says
//! that a verb stands. A step that fails undoes what the steps before it did, the last first; what is on record stays.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use custody_model::error::chain;

use crate::error::SessionError;
use crate::orchestrator::Orchestrator;

/// What a step gives.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Does something with what the steps of a verb share.
pub type Action<C, T> = for<'a> fn(&'a Arc<Orchestrator>, &'a mut C) -> Doing<'a, T>;

/// One step of a verb on a context `C`.
pub struct Step<C> {
    /// Its name, unique in its verb.
    pub name: &'static str,
    /// Does it.
    pub act: Action<C, Result<(), SessionError>>,
    /// Undoes it, after a later step failed.
    pub undo: Option<Action<C, ()>>,
}

/// A step from functions: `step!("name", act)`, `step!("name", act, undo)`.
macro_rules! step {
    ($name:literal, $act:path) => {
        $crate::steps::Step {
            name: $name,
            act: |orchestrator, context| Box::pin($act(orchestrator, context)),
            undo: None,
        }
    };
    ($name:literal, $act:path, $undo:path) => {
        $crate::steps::Step {
            name: $name,
            act: |orchestrator, context| Box::pin($act(orchestrator, context)),
            undo: Some(|orchestrator, context| Box::pin($undo(orchestrator, context))),
        }
    };
}
pub(crate) use step;

/// When a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Nothing of the step was done.
    Before,
    /// All of it was.
    After,
}

/// What happens at a step beside the step. In production nothing does; tests let steps fail, or the process die.
pub trait Faults: Send + Sync {
    /// Called at each step, as `verb.step`.
    ///
    /// # Errors
    /// The fault: the verb goes on as if the step had failed.
    fn at(&self, step: &str, when: When) -> Result<(), SessionError>;

    /// Whether the step is to be done twice, as after a crash.
    fn twice(&self, step: &str) -> bool {
        let _ = step;
        false
    }
}

/// Nothing happens.
#[derive(Debug)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn at(&self, _step: &str, _when: When) -> Result<(), SessionError> {
        Ok(())
    }
}

/// The steps of a verb by name, as [`Faults`] see them.
pub(crate) fn names<C>(verb: &str, steps: &[Step<C>]) -> Vec<String> {
    steps.iter().map(|step| format!("{verb}.{}", step.name)).collect()
}

/// Every step of every verb, as `verb.step`.
#[must_use]
pub fn every_step() -> Vec<String> {
    let verbs = [
        crate::create::step_names(),
        crate::approve::step_names(),
        crate::launch::step_names(),
        crate::stop::step_names(),
        crate::erase::step_names(),
    ];
    verbs.concat()
}

/// Carries a verb out.
///
/// # Errors
/// Those of the step that failed, after the steps before it were undone.
pub(crate) async fn run<C>(
    orchestrator: &Arc<Orchestrator>,
    verb: &'static str,
    steps: &[Step<C>],
    context: &mut C,
) -> Result<(), SessionError> {
    for (index, step) in steps.iter().enumerate() {
        let name = format!("{verb}.{}", step.name);
        let mut result = orchestrator.faults().at(&name, When::Before);
        if result.is_ok() {
            result = (step.act)(orchestrator, context).await;
        }
        if result.is_ok() && orchestrator.faults().twice(&name) {
            result = (step.act)(orchestrator, context).await;
        }
        let done = match &result {
            Ok(()) => index + 1,
            Err(_) => index,
        };
        let result = result.and_then(|()| orchestrator.faults().at(&name, When::After));
        if let Err(error) = result {
            tracing::info!(step = name, error = %chain(&error), "a step failed; what was done before it is undone");
            for step in steps.iter().take(done).rev() {
                if let Some(undo) = step.undo {
                    undo(orchestrator, context).await;
                }
            }
            return Err(error);
        }
    }
    Ok(())
}
