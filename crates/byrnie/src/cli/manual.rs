//! What is made of the flag table: completion scripts, man pages, the reference page.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Command, CommandFactory};

use crate::cli::args::{Cli, CompletionArgs, ManArgs};
use crate::cli::failure::{FILE, Failure};
use crate::output;

/// `byrnie completion SHELL`.
pub fn completion(args: &CompletionArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "byrnie", &mut script);
    output::data(&String::from_utf8_lossy(&script))
}

/// `byrnie man`.
pub fn man(args: &ManArgs) -> Result<(), Failure> {
    if args.markdown {
        return output::data(&markdown());
    }
    if args.errors {
        return output::data(&errors());
    }
    match &args.dir {
        Some(dir) => write_pages(dir),
        None => output::data(&String::from_utf8_lossy(&page(built()).1)),
    }
}

/// The command with its global flags spread over the subcommands.
fn built() -> Command {
    let mut command = Cli::command();
    command.build();
    command
}

fn write_pages(dir: &Path) -> Result<(), Failure> {
    let failed =
        |path: &Path, error: std::io::Error| Failure::new(FILE, format!("{}: {error}", path.display()));
    std::fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
    let root = built();
    let commands = root
        .get_subcommands()
        .filter(|command| command.get_name() != "help" && !command.is_hide_set())
        .cloned();
    let mut count = 0;
    for command in std::iter::once(root.clone()).chain(commands) {
        let (name, page) = page(command);
        let path = dir.join(format!("{name}.1"));
        std::fs::write(&path, page).map_err(|error| failed(&path, error))?;
        count += 1;
    }
    output::say(&format!("{count} pages written to {}", dir.display()));
    Ok(())
}

/// Name and text of one page.
fn page(command: Command) -> (String, Vec<u8>) {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut text = Vec::new();
    // Writing to a Vec cannot fail.
    let _ = clap_mangen::Man::new(command.name(name.clone())).render(&mut text);
    (name, text)
}

/// docs/cli.md.
fn markdown() -> String {
    let root = built();
    let mut text = String::from(
        "# Commands\n\nMade by `cargo xtask generate` from the program's own flag table; do not edit.\n\n",
    );
    let about = root.get_long_about().map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(text, "{about}\n\n```\n{}\n```\n", usage(&root));
    let _ = writeln!(text, "## Options of every command\n");
    for arg in root.get_arguments().filter(|arg| arg.is_global_set()) {
        option(&mut text, arg);
    }
    let mut commands: Vec<&Command> = root.get_subcommands().collect();
    commands.retain(|command| command.get_name() != "help" && !command.is_hide_set());
    for command in commands {
        section(&mut text, command);
    }
    text
}

fn section(text: &mut String, command: &Command) {
    let about = command.get_long_about().or_else(|| command.get_about());
    let usage = usage(command);
    let _ = writeln!(text, "\n## byrnie {}\n", command.get_name());
    let _ = writeln!(text, "{}.\n\n```\n{usage}\n```\n", about.map(ToString::to_string).unwrap_or_default());
    let before = text.len();
    for arg in command.get_arguments() {
        let general = arg.is_global_set() || matches!(arg.get_id().as_str(), "help" | "version");
        if !general && !arg.is_hide_set() {
            option(text, arg);
        }
    }
    if text.len() == before {
        text.truncate(before - 1);
    }
}

fn usage(command: &Command) -> String {
    let line = command.clone().render_usage().to_string();
    line.trim_start_matches("Usage: ").to_owned()
}

fn option(text: &mut String, arg: &clap::Arg) {
    let shown = arg.to_string();
    let short = match (arg.get_short(), shown.starts_with("--")) {
        (Some(short), true) => format!("-{short}, "),
        _ => String::new(),
    };
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let mut line = format!("- `{short}{shown}` {help}");
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && !arg.is_hide_default_value_set() && arg.get_action().takes_values() {
        let _ = write!(line, " (default `{}`)", defaults.join(" "));
    }
    if let Some(name) = arg.get_env() {
        let _ = write!(line, " (environment `{}`)", name.to_string_lossy());
    }
    let _ = writeln!(text, "{line}");
}

/// docs/errors.md.
fn errors() -> String {
    let mut text = String::from(
        "# Error codes\n\nMade by `cargo xtask generate` from the table in `byrnie-api`; do not edit. A code never \
         changes its meaning.\n\n| code | | meaning | what to do |\n|---|---|---|---|\n",
    );
    let cell = |text: &str| text.replace('|', "\\|");
    for row in byrnie_api::codes::CODES {
        let (title, meaning, remedy) = (cell(row.title), cell(row.meaning), cell(row.remedy));
        let code = row.code;
        let _ = writeln!(text, "| [{code}](reference/codes/{code}.md) | {title} | {meaning} | {remedy} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_table_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_says_what_it_does() {
        let root = built();
        for command in root.get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {arg}", command.get_name());
            }
        }
    }

    #[test]
    fn the_reference_page_names_every_command() {
        let page = markdown();
        let root = built();
        for command in root.get_subcommands().filter(|c| c.get_name() != "help" && !c.is_hide_set()) {
            assert!(page.contains(&format!("## byrnie {}\n", command.get_name())), "{}", command.get_name());
        }
    }
}
