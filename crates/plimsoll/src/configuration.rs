//! Reading the configuration, and showing what is wrong with it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use plimsoll_config::{Config, Diagnostic, Notifier, NotifierKind, Secret, Severity, Url};

use crate::cli::{Run, print};
use crate::descriptors;
use crate::exit::{Exit, say, with_causes};
use crate::wiring;

/// Where a configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// This file; read again on reload.
    File(PathBuf),
    /// The command line: nothing to read again.
    Target,
    /// The last good one, from the state folder.
    LastGood { text: String, file: String },
}

/// A configuration that can be put in force.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// The text it was made of; empty for `run --to`.
    pub(crate) text: String,
    /// Of the text, hexadecimal.
    pub(crate) hash: String,
    /// The file it came from.
    pub(crate) path: Option<String>,
    /// What is not wrong, but worth a look, ready to print.
    pub(crate) warnings: String,
}

/// A configuration that can't be used; the text is ready to print.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// There is none: the file can't be read, or `--to` is no URL.
    #[error("error: {0}")]
    Absent(String),
    /// It has errors, shown with their lines.
    #[error("{0}")]
    Invalid(String),
}

impl LoadError {
    /// What may be kept: diagnostics show lines of the file, and one of them may hold a key.
    pub(crate) fn without_text_of_the_file(&self) -> String {
        match self {
            Self::Absent(why) => why.clone(),
            Self::Invalid(_) => "the file has errors; the log shows them".to_owned(),
        }
    }

    /// What a command ends with because of it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Absent(_) => Exit::Failed,
            Self::Invalid(_) => Exit::Refused,
        }
    }
}

impl Source {
    /// What `run` was given.
    pub(crate) fn of(run: &Run) -> Self {
        match &run.config {
            Some(path) => Self::File(path.clone()),
            None => Self::Target,
        }
    }
}

impl Loaded {
    /// Shows the warnings.
    pub(crate) fn warn(&self) {
        if !self.warnings.is_empty() {
            say(self.warnings.trim_end());
        }
    }
}

/// Reads and checks a configuration.
pub(crate) fn load(source: &Source, run: &Run) -> Result<Loaded, LoadError> {
    let mut loaded = match source {
        Source::File(path) => from_file(path)?,
        Source::LastGood { text, file } => from_text(text.clone(), file)?,
        Source::Target => {
            let target = run.to.as_deref().unwrap_or_default();
            let config = Config::for_target(target, run.listen, run.console, run.ops)
                .map_err(|error| LoadError::Absent(error.to_string()))?;
            Loaded {
                config,
                text: String::new(),
                hash: hash(target),
                path: None,
                warnings: String::new(),
            }
        }
    };
    if run.observe {
        loaded.config.gateway.mode = plimsoll_core::Mode::Observe;
    }
    descriptors::bound(&mut loaded.config.gateway.limits);
    read_keys(&mut loaded.config)?;
    (loaded.config.read_pages()).map_err(|(path, error)| {
        let why = with_causes(&error);
        LoadError::Absent(format!("the page {}: {why}", path.display()))
    })?;
    Ok(loaded)
}

/// Reads and checks a file, as it is written.
pub(crate) fn from_file(path: &Path) -> Result<Loaded, LoadError> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| LoadError::Absent(format!("reading {file}: {error}")))?;
    from_text(text, &file)
}

/// Puts in place what stands in the environment or in files: the keys of tenants, the tokens of flags and queues, the URLs and secrets of notifiers.
fn read_keys(config: &mut Config) -> Result<(), LoadError> {
    for (name, tenant) in &mut config.tenants {
        for key in &mut tenant.keys {
            read_secret(key, &format!("the key of tenant `{name}`"))?;
        }
    }
    for token in &mut config.flags.tokens {
        read_secret(token, "a token of `flags`")?;
    }
    if let Some(queues) = &mut config.queues {
        for token in &mut queues.tokens {
            read_secret(token, "a token of `queues`")?;
        }
    }
    config.read_access_keys().map_err(|(path, error)| {
        let why = with_causes(&error);
        LoadError::Absent(format!("the access keys {}: {why}", path.display()))
    })?;
    for (name, notifier) in &mut config.notifiers {
        for (what, secret) in notifier.secrets_mut() {
            read_secret(secret, &format!("`{what}` of notifier `{name}`"))?;
        }
        check_notifier(name, notifier).map_err(LoadError::Absent)?;
    }
    Ok(())
}

fn read_secret(secret: &mut Secret, what: &str) -> Result<(), LoadError> {
    let read = match secret {
        Secret::Plain(_) => return Ok(()),
        Secret::Env(variable) => std::env::var(&*variable).map_err(|error| {
            // What it is must not be shown where it is no text.
            let error = match error {
                std::env::VarError::NotPresent => "it is not set",
                std::env::VarError::NotUnicode(_) => "it is no text",
            };
            format!("{what} in the variable {variable}: {error}")
        }),
        Secret::File(path) => std::fs::read_to_string(&*path)
            .map_err(|error| format!("{what} in {}: {error}", path.display())),
    };
    let value = read.map_err(LoadError::Absent)?.trim().to_owned();
    if value.is_empty() {
        return Err(LoadError::Absent(format!("{what} is empty")));
    }
    *secret = Secret::Plain(value);
    Ok(())
}

/// What was read from elsewhere is held against what the file is: without a word of what it was.
fn check_notifier(name: &str, notifier: &Notifier) -> Result<(), String> {
    if let Secret::Plain(url) = &notifier.url {
        let url: Url = url
            .parse()
            .map_err(|error| format!("`url` of notifier `{name}` {error}"))?;
        let (scheme, kind) = (url.scheme.name(), notifier.kind.name());
        if url.scheme.is_mail() != notifier.kind.is_mail() {
            return Err(format!(
                "`url` of notifier `{name}` has the scheme `{scheme}`, which `{kind}` can't send to"
            ));
        }
    }
    let secret = match &notifier.kind {
        NotifierKind::Webhook {
            key: Some(Secret::Plain(key)),
        } if wiring::signing_key(key).is_none() => {
            Some("`whsec_` and the base64 of 24 to 64 bytes")
        }
        NotifierKind::PagerDuty {
            routing_key: Secret::Plain(secret),
        }
        | NotifierKind::Smtp {
            login: Some((_, Secret::Plain(secret))),
            ..
        } if secret.contains(char::is_control) => Some("one line of text"),
        _ => None,
    };
    match secret {
        Some(expected) => Err(format!(
            "`secret` of notifier `{name}` is not what was expected: {expected}"
        )),
        None => Ok(()),
    }
}

/// Checks a text, as if it stood in this file.
pub(crate) fn from_text(text: String, file: &str) -> Result<Loaded, LoadError> {
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (config, mut diagnostics) = plimsoll_config::parse(&text, file).map_err(|errors| {
        LoadError::Invalid(plimsoll_config::render(&errors, &text, file, color))
    })?;
    diagnostics.extend(plimsoll_config::check_files(&text, file));
    let rendered = plimsoll_config::render(&diagnostics, &text, file, color);
    if diagnostics.iter().any(|it| it.severity == Severity::Error) {
        return Err(LoadError::Invalid(rendered));
    }
    Ok(Loaded {
        config,
        hash: hash(&text),
        text,
        path: Some(file.to_owned()),
        warnings: rendered,
    })
}

/// Tells two texts apart; not for security.
pub(crate) fn hash(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// `plimsoll check FILE`
pub(crate) fn check(path: &Path, json: bool) -> Exit {
    let file = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            say(&format!("error: reading {file}: {error}"));
            return Exit::Failed;
        }
    };
    let (mut diagnostics, summary) = match plimsoll_config::parse(&text, &file) {
        Ok((config, warnings)) => {
            let summary = format!(
                "{file} is valid: {} service{}, {} route{}\n",
                config.services.len(),
                if config.services.len() == 1 { "" } else { "s" },
                config.routes.len(),
                if config.routes.len() == 1 { "" } else { "s" },
            );
            (warnings, summary)
        }
        Err(errors) => (errors, String::new()),
    };
    diagnostics.extend(plimsoll_config::check_files(&text, &file));
    let errors = diagnostics
        .iter()
        .filter(|it| it.severity == Severity::Error)
        .count();
    if json {
        print(&format!(
            "{:#}\n",
            plimsoll_config::to_json(&diagnostics, &text, &file)
        ));
    } else {
        show(&diagnostics, &text, &file, errors, &summary);
    }
    if errors == 0 {
        Exit::Done
    } else {
        Exit::Refused
    }
}

fn show(diagnostics: &[Diagnostic], text: &str, file: &str, errors: usize, summary: &str) {
    let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut out = plimsoll_config::render(diagnostics, text, file, color);
    if errors == 0 {
        out.push_str(summary);
    } else {
        out.push_str(&format!(
            "\n{errors} error{} in {file}\n",
            if errors == 1 { "" } else { "s" }
        ));
    }
    print(&out);
}
