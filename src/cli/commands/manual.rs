//! `dormouse man`: manual pages, made from the flags, their help and their examples.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::args::{Args, Manual, examples};
use crate::cli::exit::{CODES, Done, Failure, OK, WRITE};
use crate::cli::output;

/// Variables that commands read, and what they are for.
const ENVIRONMENT: [(&str, &str); 6] = [
    (
        "DORMOUSE_CACHE",
        "The directory of rewritten modules and machine code.",
    ),
    (
        "DORMOUSE_URL",
        "The daemon that commands ask, where --url does not say it: http://TOKEN@HOST:PORT.",
    ),
    (
        "DORMOUSE_TOKEN",
        "The daemon's token, where the URL has none.",
    ),
    (
        "DORMOUSE_TLS_CA",
        "Certificates in PEM that commands trust, where the URL begins https:// and --tls-ca does not say it.",
    ),
    (
        "XDG_CACHE_HOME",
        "The user's cache directory, instead of ~/.cache.",
    ),
    (
        "XDG_DATA_HOME",
        "The user's data directory, instead of ~/.local/share.",
    ),
];

/// What is kept on the disk, and where.
const FILES: [(&str, &str); 3] = [
    (
        "./snapshot",
        "The snapshot of `dormouse run`, unless --snapshot says otherwise.",
    ),
    (
        "~/.cache/dormouse/modules",
        "Rewritten modules and machine code.",
    ),
    (
        "~/.local/share/dormouse",
        "The store of this user's daemon, and the file url that commands find it by.",
    ),
];

pub(crate) fn manual(command: &Manual) -> Result<Done, Failure> {
    let root = root();
    let Some(directory) = &command.directory else {
        return print(&root);
    };
    let pages = write(&root, directory).map_err(|error| {
        let text = format!(
            "cannot write manual pages to {}: {error}",
            directory.display()
        );
        Failure::new(WRITE, text)
    })?;
    if output::as_json() {
        let pages: Vec<_> = pages.iter().map(|page| page.to_string_lossy()).collect();
        output::result(&serde_json::json!({ "pages": pages }));
    }
    OK
}

/// The command `dormouse`, with the names of pages for all commands below it.
fn root() -> clap::Command {
    // `help` has nothing to say beside the pages.
    let mut root = Args::command().disable_help_subcommand(true);
    root.build();
    root
}

fn print(root: &clap::Command) -> Result<Done, Failure> {
    // Nothing that is written to memory fails.
    let page = page(root).unwrap_or_default();
    if output::as_json() {
        output::result(&serde_json::json!({ "page": String::from_utf8_lossy(&page) }));
        return OK;
    }
    let _ = output::write(&page);
    OK
}

/// Writes the pages of a command and of all below it; gives their paths.
fn write(command: &clap::Command, directory: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(directory)?;
    let path = directory.join(format!("{}.1", title(command)));
    fs::write(&path, page(command)?)?;
    let mut pages = vec![path];
    for command in command.get_subcommands() {
        pages.extend(write(command, directory)?);
    }
    Ok(pages)
}

/// `dormouse-run` of `dormouse run`.
fn title(command: &clap::Command) -> &str {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
}

/// One page, in the order of man-pages(7).
fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let title = title(command);
    let man = Man::new(command.clone())
        .title(title.to_ascii_uppercase())
        .source(concat!("dormouse ", env!("CARGO_PKG_VERSION")))
        .manual("dormouse");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let is_root = title == command.get_name();
    let mut rest = Roff::new();
    rest.control("SH", ["EXIT STATUS"]);
    match is_root {
        true => exit_status(&mut rest),
        false => {
            rest.text([roman("See "), bold("dormouse"), roman("(1).")]);
        }
    }
    if is_root {
        listed(&mut rest, "ENVIRONMENT", &ENVIRONMENT);
        listed(&mut rest, "FILES", &FILES);
    }
    let words = command.get_bin_name().unwrap_or_default();
    let words = words.strip_prefix("dormouse").unwrap_or_default();
    rest.control("SH", ["EXAMPLES"]);
    for example in examples::of(words.trim_start()) {
        rest.control("TP", []);
        rest.text([bold(example.line)]);
        rest.text([roman(example.does)]);
    }
    if !is_root {
        rest.control("SH", ["SEE ALSO"]);
        rest.text([bold("dormouse"), roman("(1)")]);
    }
    rest.to_writer(&mut page)?;
    Ok(ascii(&String::from_utf8_lossy(&page)))
}

/// The page with other characters than ASCII as roff names them: what reads it may take any
/// encoding for granted.
fn ascii(page: &str) -> Vec<u8> {
    let mut ascii = String::with_capacity(page.len());
    for c in page.chars() {
        match c.is_ascii() {
            true => ascii.push(c),
            false => ascii.push_str(&format!("\\[u{:04X}]", u32::from(c))),
        }
    }
    ascii.into_bytes()
}

fn exit_status(page: &mut Roff) {
    let own = "The guest's own code, when it ends, or:";
    page.text([roman(own)]);
    for (number, meaning) in CODES {
        page.control("TP", []);
        page.text([bold(number.to_string())]);
        page.text([roman(*meaning)]);
    }
}

/// A section of terms and what they mean.
fn listed(page: &mut Roff, section: &str, terms: &[(&str, &str)]) {
    page.control("SH", [section]);
    for (term, meaning) in terms {
        page.control("TP", []);
        page.text([bold(*term)]);
        page.text([roman(*meaning)]);
    }
}
