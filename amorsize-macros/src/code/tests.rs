use super::*;

fn of(function: &str) -> u64 {
    hash(&function.parse().unwrap())
}

const PLAIN: &str = "fn f(x: u32, by: &[u8]) -> Vec<u8> { let y = x + 1; match y { 1 => vec![0], _ => g(x, by) } }";

#[test]
fn what_changes_nothing_for_results_keeps_the_hash() {
    for same in [
        "fn f ( x : u32 , by : & [ u8 ] ) -> Vec < u8 > {\n let y = x + 1;\n\n match y { 1 => vec![0], _ => g(x, by) } }",
        "/// Docs.\n#[must_use] #[inline]\npub fn f(x: u32, by: &[u8]) -> Vec<u8> { let y = x + 1; match y { 1 => vec![0], _ => g(x, by) } }",
        "pub(in crate::a) fn f(x: u32, by: &[u8]) -> Vec<u8> { let y = x + 1; match y { 1 => vec![0], _ => g(x, by) } }",
        "default fn f(x: u32, by: &[u8]) -> Vec<u8> { let y = x + 1; match y { 1 => vec![0], _ => g(x, by) } }",
        "fn f(x: u32, by: &[u8],) -> Vec<u8,> { let y = x + 1; match y { 1 => vec![0,], _ => g(x, by,), } }",
        "fn f(#[allow(unused)] x: u32, by: &[u8]) -> Vec<u8> { // Why.\n let y = x + 1; /* what */ match y { 1 => vec![0], _ => g(x, by) } }",
        "fn f(x: u32, by: &[u8]) -> Vec<u8> { #![allow(a)] #[expect(b)] let y = x + 1; match y { 1 => vec![0], #[doc = \"c\"] _ => g(x, by) } }",
        "#[cfg(a)] #[doc(hidden)] fn f(x: u32, by: &[u8]) -> Vec<u8> { let y =x+1; match y { 1=>vec![0], _=>g(x, by) } }",
    ] {
        assert_eq!(of(same), of(PLAIN), "{same}");
    }
}

#[test]
fn all_else_changes_the_hash() {
    let mut hashes = vec![of(PLAIN)];
    for other in [
        // The name, a parameter, its type, the result.
        "fn g(x: u32, by: &[u8]) -> Vec<u8> { let y = x + 1; match y { 1 => vec![0], _ => g(x, by) } }",
        "fn f(z: u32, by: &[u8]) -> Vec<u8> { let y = x + 1; match y { 1 => vec![0], _ => g(x, by) } }",
        "fn f(x: u64, by: &[u8]) -> Vec<u8> { let y = x + 1; match y { 1 => vec![0], _ => g(x, by) } }",
        "fn f(x: u32, by: &[u8]) -> Box<u8> { let y = x + 1; match y { 1 => vec![0], _ => g(x, by) } }",
        // A renamed variable, another number, another operator, a statement, braces, a branch less.
        "fn f(x: u32, by: &[u8]) -> Vec<u8> { let z = x + 1; match z { 1 => vec![0], _ => g(x, by) } }",
        "fn f(x: u32, by: &[u8]) -> Vec<u8> { let y = x + 2; match y { 1 => vec![0], _ => g(x, by) } }",
        "fn f(x: u32, by: &[u8]) -> Vec<u8> { let y = x - 1; match y { 1 => vec![0], _ => g(x, by) } }",
        "fn f(x: u32, by: &[u8]) -> Vec<u8> { println!(); let y = x + 1; match y { 1 => vec![0], _ => g(x, by) } }",
        "fn f(x: u32, by: &[u8]) -> Vec<u8> { let y = x + 1; match y { 1 => vec![0], _ => { g(x, by) } } }",
        "fn f(x: u32, by: &[u8]) -> Vec<u8> { let y = x + 1; match y { _ => g(x, by) } }",
        // An attribute with a meaning, and qualifiers.
        "fn f(x: u32, by: &[u8]) -> Vec<u8> { #[cfg(unix)] let y = x + 1; match y { 1 => vec![0], _ => g(x, by) } }",
        "const fn f(x: u32, by: &[u8]) -> Vec<u8> { let y = x + 1; match y { 1 => vec![0], _ => g(x, by) } }",
    ] {
        let hash = of(other);
        assert!(!hashes.contains(&hash), "{other}");
        hashes.push(hash);
    }
}

#[test]
fn white_space_counts_where_it_changes_the_meaning() {
    for (one, other) in [
        ("fn f() { a && b }", "fn f() { a & &b }"),
        ("fn f() { a || b }", "fn f() { a | |b }"),
        ("fn f() { a << b }", "fn f() { a < <b }"),
        // A tuple of one, in an expression and in a type.
        ("fn f() { (a,) }", "fn f() { (a) }"),
        ("fn f() { return (a,); }", "fn f() { return (a); }"),
        ("fn f(x: (u8,)) {}", "fn f(x: (u8)) {}"),
        ("fn f() { match a { _ => (a,) } }", "fn f() { match a { _ => (a) } }"),
        ("fn f() -> (u8,) {}", "fn f() -> (u8) {}"),
        ("fn f() { g(a, { b }) }", "fn f() { g(a { b }) }"),
        ("fn f() { \"a b\" }", "fn f() { \"ab\" }"),
        ("fn f() { a b }", "fn f() { ab }"),
    ] {
        assert_ne!(of(one), of(other), "{one}");
    }
    for (one, other) in [
        ("fn f() { g(a,) }", "fn f() { g(a) }"),
        ("fn f() { (a, b,) }", "fn f() { (a, b) }"),
        ("fn f() { g::<u8>(a,) }", "fn f() { g::<u8>(a) }"),
        ("fn f() { g!(a,) }", "fn f() { g!(a) }"),
        ("fn f<A, B,>() where A: C, {}", "fn f<A, B>() where A: C {}"),
        ("fn f() { match a { b => {}, c => {}, } }", "fn f() { match a { b => {} c => {} } }"),
        ("fn f() { let x=-1; let y: Vec<Vec<u8>>= z; }", "fn f() { let x = -1; let y: Vec<Vec<u8> > = z; }"),
        ("fn f() { let S { a, .. }=b; }", "fn f() { let S { a, .. } = b; }"),
    ] {
        assert_eq!(of(one), of(other), "{one}");
    }
}

#[test]
fn the_hash_is_that_of_other_versions() {
    // Results of earlier versions depend on these numbers.
    assert_eq!(of("fn f() {}"), 0x5AEF_36E7_A2EE_E524);
    assert_eq!(of(PLAIN), 0x345F_3CEC_8E3F_43A7);
}

#[test]
fn what_a_macro_inserts_is_as_if_it_were_written() {
    use proc_macro2::Group;

    let none = |text: &str| TokenTree::Group(Group::new(Delimiter::None, text.parse().unwrap()));
    let vis = |text: &str, rest: &str| {
        let mut all = TokenStream::from(none(text));
        all.extend(rest.parse::<TokenStream>().unwrap());
        hash(&all)
    };
    assert_eq!(vis("pub", "fn f() { g(a) }"), of("fn f() { g(a) }"));
    assert_eq!(vis("", "fn f() { g(a) }"), of("fn f() { g(a) }"));
    assert_eq!(vis("fn f()", "{ g(a) }"), of("fn f() { g(a) }"));
}
