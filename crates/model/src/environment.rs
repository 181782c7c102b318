//! What arguments and environment a guest can be given: the one rule for commands, task files, the
//! API and programs that embed the library.
//!
//! It is that of Linux, where execve(2) fails with `E2BIG`: together they may have 2 MiB, each text
//! counted with its zero byte and a pointer to it. So their number is bounded as well.

use std::fmt;

/// Bytes of arguments and environment together, as the system counts them.
const MOST: usize = 2 << 20;

/// What a text costs beside its bytes: the zero byte at its end, and the pointer.
const EACH: usize = 1 + size_of::<u64>();

/// Why a guest cannot be given arguments or environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// A text contains a zero byte, where a guest would see its end.
    ZeroByte(String),
    /// This is no name of a variable: it is empty, or contains `=`.
    Name(String),
    /// They are too large, by this number of bytes in all.
    TooLarge(usize),
}

impl Unfit {
    /// Whether it is only a matter of size.
    pub fn is_size(&self) -> bool {
        matches!(self, Self::TooLarge(_))
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It may be long, and may be anything.
        let short = |text: &str| text.chars().take(60).collect::<String>();
        match self {
            Self::ZeroByte(text) => write!(
                f,
                "{:?} contains a zero byte, which a guest cannot be given in an argument or a variable",
                short(text)
            ),
            Self::Name(name) => write!(
                f,
                "{:?} is no name of a variable: a name is not empty and has no '=' in it",
                short(name)
            ),
            Self::TooLarge(found) => write!(
                f,
                "arguments and environment take {found} bytes, with {EACH} for each text, and may take {MOST}, as under \
                 Linux; give a guest what is larger in a file"
            ),
        }
    }
}

impl std::error::Error for Unfit {}

/// Refuses what no guest can be given.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_environment(args: &[String], env: &[(String, String)]) -> Result<(), Unfit> {
    let variables = env.iter().flat_map(|(name, value)| [name, value]);
    if let Some(text) = args
        .iter()
        .chain(variables)
        .find(|text| text.contains('\0'))
    {
        return Err(Unfit::ZeroByte(text.clone()));
    }
    for (name, _) in env {
        if name.is_empty() || name.contains('=') {
            return Err(Unfit::Name(name.clone()));
        }
    }
    match size(args, env) {
        found if found > MOST => Err(Unfit::TooLarge(found)),
        _ => Ok(()),
    }
}

/// The bytes that they take.
fn size(args: &[String], env: &[(String, String)]) -> usize {
    let args = args.iter().map(|text| text.len() + EACH);
    let env = env
        .iter()
        .map(|(name, value)| name.len() + 1 + value.len() + EACH);
    args.chain(env).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &[&str], env: &[(&str, &str)]) -> Result<(), Unfit> {
        let args: Vec<String> = args.iter().map(|text| text.to_string()).collect();
        let env: Vec<_> = env
            .iter()
            .map(|(a, b)| (a.to_string(), b.to_string()))
            .collect();
        check_environment(&args, &env)
    }

    #[test]
    fn names_have_no_equals_sign_and_texts_no_zero_byte() {
        assert_eq!(check(&["a", ""], &[("A", "b=c"), ("B", "")]), Ok(()));
        assert_eq!(check(&[], &[("", "x")]), Err(Unfit::Name("".into())));
        assert_eq!(check(&[], &[("A=B", "x")]), Err(Unfit::Name("A=B".into())));
        for (args, env) in [
            (&["a\0"][..], &[][..]),
            (&[], &[("A\0", "b")]),
            (&[], &[("A", "\0")]),
        ] {
            assert!(matches!(check(args, env), Err(Unfit::ZeroByte(_))));
        }
    }

    #[test]
    fn both_together_are_bounded_in_bytes_and_in_number() {
        let whole = "x".repeat(MOST - EACH);
        assert_eq!(check(&[&whole], &[]), Ok(()));
        let found = MOST + EACH;
        assert_eq!(check(&[&whole, ""], &[]), Err(Unfit::TooLarge(found)));
        let half = "x".repeat(MOST / 2);
        assert!(check(&[&half], &[("A", &half)]).is_err_and(|unfit| unfit.is_size()));
        assert!(check(&vec![""; MOST / EACH], &[]).is_ok());
        assert!(check(&vec![""; MOST / EACH + 1], &[]).is_err());
    }

    /// The system's own: a program with arguments that fit starts, and one more byte is too much
    /// for it.
    #[test]
    #[cfg(target_os = "linux")]
    fn linux_bounds_them_alike() {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Stack);
        // With another stack the system has another bound.
        if limit.current != Some(8 << 20) {
            return;
        }
        let piece = "x".repeat(100_000);
        let starts = |count: usize| {
            let mut command = std::process::Command::new("/bin/true");
            command.env_clear().args(std::iter::repeat_n(&piece, count));
            command.status().is_ok()
        };
        for count in [15, 20, 21, 30] {
            let args = vec![piece.clone(); count];
            assert_eq!(
                starts(count),
                check_environment(&args, &[]).is_ok(),
                "{count}"
            );
        }
    }
}
