//! What the terminal can show: its width, colour, and characters beyond ASCII.

use std::env;
use std::io::IsTerminal;

use plimsoll_measure::Mark;

/// Columns of a terminal that does not say.
const WIDTH_DEFAULT: usize = 80;

/// How text is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Whether colour may repeat the marks.
    pub(crate) color: bool,
    /// Whether characters beyond ASCII show.
    pub(crate) unicode: bool,
    /// Columns.
    pub(crate) width: usize,
}

/// What a piece of text is, which colour may repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Strong,
    Quiet,
    Burning,
    Exhausted,
    Selected,
}

impl Look {
    /// What standard output can show, as the environment says.
    pub(crate) fn of_stdout() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let named = |name: &str| env::var(name).is_ok_and(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()));
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        let width =
            crossterm::terminal::size().map_or(WIDTH_DEFAULT, |(columns, _)| usize::from(columns));
        Self {
            color: terminal
                && !named("NO_COLOR")
                && env::var("TERM").is_ok_and(|term| term != "dumb"),
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
            width: if terminal && width > 0 {
                width
            } else {
                WIDTH_DEFAULT.max(width)
            },
        }
    }

    /// Without colour, with all characters.
    #[cfg(test)]
    pub(crate) fn plain(width: usize) -> Self {
        Self {
            color: false,
            unicode: true,
            width,
        }
    }

    /// The text in the colour of its tone, if there is colour.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => "",
            Tone::Strong => "1",
            Tone::Quiet => "2",
            Tone::Burning => "33",
            Tone::Exhausted => "35",
            Tone::Selected => "7",
        };
        if self.color && !code.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// The text in the characters that show.
    pub(crate) fn text(self, text: &str) -> String {
        if self.unicode {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len());
        for char in text.chars() {
            match char {
                '▆' => out.push('#'),
                '·' => out.push('.'),
                '▲' => out.push('^'),
                '■' => out.push('X'),
                '×' => out.push('x'),
                '→' => out.push_str("->"),
                '−' => out.push('-'),
                '…' => out.push('~'),
                'µ' => out.push('u'),
                '↑' => out.push_str("up/"),
                '↓' => out.push_str("down"),
                ascii if ascii.is_ascii() => out.push(ascii),
                _ => out.push('?'),
            }
        }
        out
    }

    /// The text, cut to the width.
    pub(crate) fn cut(self, text: &str) -> String {
        self.cut_to(text, self.width)
    }

    /// The text, cut to `width` columns with a mark that it was.
    pub(crate) fn cut_to(self, text: &str, width: usize) -> String {
        if text.chars().count() <= width {
            return text.to_owned();
        }
        let kept: String = text.chars().take(width.saturating_sub(1)).collect();
        format!("{kept}{}", if self.unicode { '…' } else { '~' })
    }
}

/// The mark as one character, before [`Look::text`].
pub(crate) const fn glyph(mark: Mark) -> char {
    match mark {
        Mark::Healthy => 'o',
        Mark::Unknown => '?',
        Mark::Burning => '▲',
        Mark::Exhausted => '■',
    }
}

pub(crate) const fn tone(mark: Mark) -> Tone {
    match mark {
        Mark::Healthy => Tone::Plain,
        Mark::Unknown => Tone::Quiet,
        Mark::Burning => Tone::Burning,
        Mark::Exhausted => Tone::Exhausted,
    }
}

/// Text from elsewhere, without what a terminal would act on.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { '?' } else { char })
        .collect()
}
