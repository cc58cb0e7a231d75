//! A grid of cells that is drawn on and then written out, row by row.

use crossterm::style::{Attribute, Color, ContentStyle};

/// What a cell is, as far as its colour goes. Colour only repeats what the character says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ink {
    #[default]
    Text,
    Strong,
    Quiet,
    /// Water up to the load line.
    Sea,
    /// Water over the load line.
    Flood,
    /// Something that needs attention.
    Hot,
    /// A crate of the class at this place in `Class::ALL`.
    Crate(u8),
}

/// One character and its ink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) character: char,
    pub(super) ink: Ink,
}

const EMPTY: Cell = Cell {
    character: ' ',
    ink: Ink::Text,
};

/// A grid of cells. What is drawn outside of it is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Canvas {
    rows: Vec<Vec<Cell>>,
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self {
            rows: vec![vec![EMPTY; width]; height],
        }
    }

    pub(super) fn put(&mut self, column: usize, row: usize, character: char, ink: Ink) {
        if let Some(cell) = self
            .rows
            .get_mut(row)
            .and_then(|cells| cells.get_mut(column))
        {
            *cell = Cell { character, ink };
        }
    }

    pub(super) fn text(&mut self, column: usize, row: usize, text: &str, ink: Ink) {
        for (place, character) in text.chars().enumerate() {
            self.put(column + place, row, character, ink);
        }
    }

    pub(super) fn is_as_large_as(&self, other: &Self) -> bool {
        let size = |canvas: &Self| (canvas.rows.len(), canvas.rows.first().map_or(0, Vec::len));
        size(self) == size(other)
    }

    pub(super) fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    /// Without colour, and without what is empty at the ends of rows.
    #[cfg(test)]
    pub(super) fn to_text(&self) -> String {
        let row = |cells: &Vec<Cell>| {
            let text: String = cells.iter().map(|cell| cell.character).collect();
            text.trim_end().to_owned()
        };
        self.rows.iter().map(row).collect::<Vec<_>>().join("\n")
    }
}

impl Ink {
    /// Colours of the 256 that every terminal of today has, near the console's.
    pub(super) fn style(self, colour: bool) -> ContentStyle {
        let mut style = ContentStyle::new();
        if matches!(self, Self::Strong | Self::Crate(0)) {
            style.attributes.set(Attribute::Bold);
        }
        if !colour {
            return style;
        }
        let ansi = |index| Some(Color::AnsiValue(index));
        (style.foreground_color, style.background_color) = match self {
            // The terminal's own, which is readable on light and dark.
            Self::Text | Self::Strong | Self::Crate(0) => (None, None),
            Self::Quiet => (ansi(245), None),
            Self::Sea => (ansi(110), ansi(24)),
            Self::Flood => (ansi(216), ansi(130)),
            Self::Hot => (ansi(208), None),
            Self::Crate(1) => (ansi(109), None),
            Self::Crate(_) => (ansi(66), None),
        };
        style
    }
}
