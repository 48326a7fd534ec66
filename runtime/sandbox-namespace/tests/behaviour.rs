//! The namespace driver keeps the contract, with real namespaces and control groups.

mod ground;

custody_sandbox::behaviour_suite!(ground::Real::new());
