//! The pages for users: every link leads somewhere, the README is short, prose is one width.

use std::fs;
use std::path::{Path, PathBuf};

use super::root;

/// How long the README may get, in lines.
const README_LINES: usize = 150;

/// How wide prose may be, in characters. Tables, code and addresses take what they need.
const WIDTH: usize = 100;

/// The pages of the checkout's own folders.
fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("it can be read").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                open.push(path);
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The text without its blocks of code.
fn prose(text: &str) -> String {
    let mut code = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        } else if !code {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The targets of the links in a text.
fn links(text: &str) -> Vec<String> {
    let starts = text.match_indices("](").map(|(at, mark)| at + mark.len());
    let ends = starts.filter_map(|from| Some(&text[from..from + text[from..].find(')')?]));
    ends.map(str::to_string).collect()
}

/// What a heading is reached by: as GitHub makes it, small letters with `-` for spaces.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect()
}

/// The links of a page that lead nowhere.
fn dangling(page: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for link in links(&prose(text)) {
        if link.contains("://") || link.starts_with('<') {
            continue;
        }
        let (file, place) = link.split_once('#').unwrap_or((&link, ""));
        let target = match file {
            "" => page.to_path_buf(),
            file => page.parent().unwrap_or(root()).join(file),
        };
        let leads = match (target.exists(), place) {
            (false, _) => false,
            (true, "") => true,
            (true, place) => fs::read_to_string(&target)
                .is_ok_and(|text| anchors(&prose(&text)).iter().any(|known| known == place)),
        };
        if !leads {
            found.push(format!("{}: {link}", page.display()));
        }
    }
    found
}

/// Lines of prose that are too wide.
fn wide(page: &Path, text: &str) -> Vec<String> {
    let prose = prose(text);
    let too_wide = prose.lines().filter(|line| {
        let words = line.split_whitespace().count();
        line.chars().count() > WIDTH && !line.starts_with('|') && words > 1
    });
    too_wide
        .map(|line| format!("{}: {line}", page.display()))
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let found: Vec<String> = pages()
        .iter()
        .flat_map(|page| dangling(page, &fs::read_to_string(page).expect("a page")))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_readme_is_short() {
    let text = fs::read_to_string(root().join("README.md")).expect("it is there");
    let lines = text.lines().count();
    assert!(lines <= README_LINES, "{lines} lines");
}

#[test]
fn pages_for_users_have_one_width() {
    let mut pages: Vec<PathBuf> = fs::read_dir(root().join("docs"))
        .expect("the pages are there")
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    pages.push(root().join("README.md"));
    let found: Vec<String> = pages
        .iter()
        .flat_map(|page| wide(page, &fs::read_to_string(page).expect("a page")))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The pages that users read first link to every other one.
#[test]
fn every_page_is_reached_from_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).expect("it is there");
    let linked = links(&prose(&readme));
    for entry in fs::read_dir(root().join("docs")).expect("the pages are there") {
        let name = entry.expect("it can be read").file_name();
        let link = format!("docs/{}", name.to_string_lossy());
        assert!(linked.contains(&link), "no link to {link}");
    }
}

#[test]
fn made_up_pages_that_break_a_rule_are_found() {
    let page = root().join("README.md");
    assert_eq!(dangling(&page, "[a](docs/nothing.md)").len(), 1);
    assert_eq!(dangling(&page, "[a](#no-such-place)").len(), 1);
    assert!(
        dangling(
            &page,
            "## A `b`, c\n[a](LICENSE-MIT) [b](https://example.com)"
        )
        .is_empty()
    );
    assert!(dangling(&page, "```\n[a](docs/nothing.md)\n```").is_empty());
    assert_eq!(anchor("The daemon's API and `x`"), "the-daemons-api-and-x");
    assert_eq!(wide(&page, &"word ".repeat(21)).len(), 1);
    assert!(wide(&page, &format!("| {}", "word ".repeat(30))).is_empty());
}
