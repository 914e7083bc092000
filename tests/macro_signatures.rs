//! The accepted forms. They are cases of the compile-time tests; here every compiler builds them,
//! in one build.

#[path = "../ui-tests/pass/free_functions.rs"]
mod free_functions;
#[path = "../ui-tests/pass/generics.rs"]
mod generics;
#[path = "../ui-tests/pass/macro_rules.rs"]
mod macro_rules;
#[path = "../ui-tests/pass/methods.rs"]
mod methods;
#[path = "../ui-tests/pass/references.rs"]
mod references;

#[test]
fn free_functions_work() {
    free_functions::main();
}

#[test]
fn references_work() {
    references::main();
}

#[test]
fn generics_work() {
    generics::main();
}

#[test]
fn methods_work() {
    methods::main();
}

#[test]
fn macro_rules_work() {
    macro_rules::main();
}
