//! One arm as a ship: crates by class on deck, the load line on her side, and the water she lies in.
//!
//! The water is what wants to be served within a second, over what can be: what arrives at the shop in a
//! second, and what waits there. Up to the load line its scale is linear, above it logarithmic, so that
//! ten times the capacity is just over the top of the cargo.

use plimsoll_core::Class;

use super::canvas::{Canvas, Ink};

/// Rows of the picture, from the uppermost crates to the keel.
pub(super) const HEIGHT: usize = 10;
/// The row of the load line, from the top.
const LINE: usize = 5;
/// The lowest row.
const KEEL: usize = HEIGHT - 1;
/// The column of the stern.
const STERN: usize = 2;
/// Her bridge, in the rows of the cargo.
const BRIDGE: [&str; CARGO] = ["┌────┐", "│▫▫▫▫│", "│    │"];
const BRIDGE_ASCII: [&str; CARGO] = ["+----+", "|oooo|", "|    |"];
const BRIDGE_WIDTH: usize = 6;
/// Rows of cargo.
const CARGO: usize = 3;
/// Crates in a row when all of a class's requests end well.
const CRATES: usize = 10;

/// What is to be seen of one arm.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ship {
    /// Over the capacity.
    pub(super) water: f64,
    /// The share of each class's requests that ended well; `None` = none has ended.
    pub(super) good: [Option<f64>; 3],
    /// Painted on her side, under the load line.
    pub(super) name: [String; 2],
    /// Moves the waves.
    pub(super) frame: usize,
}

/// The characters there are to draw with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glyphs {
    pub(super) ascii: bool,
}

impl Glyphs {
    fn pick(self, unicode: char, ascii: char) -> char {
        if self.ascii { ascii } else { unicode }
    }
}

impl Ship {
    /// Draws her `width` wide with the upper left corner at `left`, `top`.
    pub(super) fn draw(
        &self,
        canvas: &mut Canvas,
        left: usize,
        top: usize,
        width: usize,
        glyphs: Glyphs,
    ) {
        let surface = self.surface();
        for row in 0..HEIGHT {
            for column in 0..width {
                let inside = is_inside(row, column, width);
                if row >= surface && !inside {
                    let (character, ink) = self.water_at(row, column, surface, glyphs);
                    canvas.put(left + column, top + row, character, ink);
                }
            }
        }
        self.draw_hull(canvas, left, top, width, glyphs);
        self.draw_cargo(canvas, left, top, width, surface, glyphs);
    }

    /// The uppermost row that is under water; [`HEIGHT`] if none is.
    fn surface(&self) -> usize {
        let below_line = KEEL - LINE;
        if self.water <= 1.0 {
            // The keel's row is always wet.
            let rows = (self.water * below_line as f64).round().max(0.0) as usize;
            return KEEL - rows.min(below_line);
        }
        let rows = (self.water.ln() / 10f64.ln() * LINE as f64).ceil() as usize;
        LINE.saturating_sub(rows)
    }

    fn water_at(&self, row: usize, column: usize, surface: usize, glyphs: Glyphs) -> (char, Ink) {
        let over = row < LINE;
        let ink = if over { Ink::Flood } else { Ink::Sea };
        let character = if row == surface {
            // A wave every six columns, which moves.
            if (column + self.frame).is_multiple_of(6) {
                glyphs.pick('≈', '-')
            } else {
                '~'
            }
        } else if over {
            glyphs.pick('░', ':')
        } else {
            ' '
        };
        (character, ink)
    }

    fn draw_hull(
        &self,
        canvas: &mut Canvas,
        left: usize,
        top: usize,
        width: usize,
        glyphs: Glyphs,
    ) {
        for row in CARGO..HEIGHT {
            let (stern, bow) = (left + STERN, left + bow(row, width));
            canvas.put(stern, top + row, glyphs.pick('▐', '|'), Ink::Text);
            canvas.put(bow, top + row, glyphs.pick('╱', '/'), Ink::Text);
            let plank = match row {
                CARGO => glyphs.pick('▔', '='),
                KEEL => glyphs.pick('▁', '_'),
                _ => continue,
            };
            for column in stern + 1..bow {
                canvas.put(column, top + row, plank, Ink::Text);
            }
        }
        let bridge = if glyphs.ascii { BRIDGE_ASCII } else { BRIDGE };
        for (row, text) in bridge.iter().enumerate() {
            canvas.text(left + STERN, top + row, text, Ink::Text);
        }
        let middle = left + width / 2;
        for column in middle - 8..=middle + 8 {
            canvas.put(column, top + LINE, glyphs.pick('─', '-'), Ink::Strong);
        }
        canvas.put(middle, top + LINE, 'o', Ink::Strong);
        for (place, text) in self.name.iter().enumerate() {
            let column = middle.saturating_sub(text.chars().count() / 2);
            let ink = if place == 0 { Ink::Strong } else { Ink::Text };
            canvas.text(column, top + LINE + 1 + place, text, ink);
        }
    }

    fn draw_cargo(
        &self,
        canvas: &mut Canvas,
        left: usize,
        top: usize,
        width: usize,
        surface: usize,
        glyphs: Glyphs,
    ) {
        let begin = left
            + STERN
            + BRIDGE_WIDTH
            + (width.saturating_sub(STERN + BRIDGE_WIDTH + CRATES + 17)) / 2;
        for (row, (class, good)) in Class::ALL.iter().zip(self.good).enumerate() {
            let wet = row >= surface;
            let ink = if wet { Ink::Flood } else { Ink::Text };
            canvas.text(
                begin,
                top + row,
                &format!("{:>9} ", class.name()),
                if wet { ink } else { Ink::Quiet },
            );
            let crates = begin + 10;
            let kept = good.map(|share| (share * CRATES as f64 + 0.049).floor() as usize);
            for place in 0..CRATES {
                let (character, ink) = match kept {
                    None => ('?', Ink::Quiet),
                    Some(kept) if place < kept => (glyphs.pick('▣', '#'), Ink::Crate(row as u8)),
                    Some(_) => (
                        glyphs.pick('·', '.'),
                        if wet { Ink::Flood } else { Ink::Hot },
                    ),
                };
                canvas.put(crates + place, top + row, character, ink);
            }
            let share = good.map_or_else(
                || "    ?".to_owned(),
                |share| format!(" {:>3.0}%", (share * 100.0).floor()),
            );
            canvas.text(crates + CRATES, top + row, &share, ink);
        }
    }
}

/// The column of the bow, which leans forward, in `row`.
fn bow(row: usize, width: usize) -> usize {
    width.saturating_sub(2 + row.saturating_sub(CARGO))
}

/// Whether the ship itself is at this place, so that there is no water.
fn is_inside(row: usize, column: usize, width: usize) -> bool {
    if row < CARGO {
        return (STERN..STERN + BRIDGE_WIDTH).contains(&column);
    }
    column >= STERN && column <= bow(row, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn she_floats_under_her_load_line_on_an_ordinary_day() {
        let expected = [
            "  ┌────┐  critical ▣▣▣▣▣▣▣▣▣▣ 100%",
            "  │▫▫▫▫│  standard ▣▣▣▣▣▣▣▣▣▣ 100%",
            "  │    │ sheddable ▣▣▣▣▣▣▣▣▣▣ 100%",
            "  ▐▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔╱",
            "  ▐                                ╱",
            "  ▐        ────────o────────      ╱",
            "  ▐           good 233/s         ╱",
            "≈~▐            P99 113ms        ╱~~~≈~",
            "  ▐                            ╱",
            "  ▐▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁╱",
        ];
        assert_eq!(
            picture(0.6, [Some(1.0), Some(1.0), Some(1.0)]),
            expected.join("\n")
        );
    }

    #[test]
    fn ten_times_the_capacity_is_over_the_top_of_the_cargo() {
        let expected = [
            "≈~┌────┐~ critical ··········   5%~~≈~",
            "░░│▫▫▫▫│░ standard ··········   0%░░░░",
            "░░│    │░sheddable ??????????    ?░░░░",
            "░░▐▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔╱░",
            "░░▐                                ╱░░",
            "  ▐        ────────o────────      ╱",
            "  ▐           good 233/s         ╱",
            "  ▐            P99 113ms        ╱",
            "  ▐                            ╱",
            "  ▐▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁╱",
        ];
        assert_eq!(
            picture(10.0, [Some(0.05), Some(0.0), None]),
            expected.join("\n")
        );
    }

    #[test]
    fn the_water_reaches_the_line_at_the_capacity_and_passes_it_above() {
        assert_eq!(ship(1.0, [None; 3]).surface(), LINE);
        assert_eq!(ship(1.1, [None; 3]).surface(), LINE - 1);
        assert_eq!(ship(0.0, [None; 3]).surface(), KEEL);
        assert_eq!(ship(10.0, [None; 3]).surface(), 0);
        assert_eq!(ship(1_000.0, [None; 3]).surface(), 0);
    }

    fn ship(water: f64, good: [Option<f64>; 3]) -> Ship {
        Ship {
            water,
            good,
            name: ["good 233/s".to_owned(), "P99 113ms".to_owned()],
            frame: 0,
        }
    }

    fn picture(water: f64, good: [Option<f64>; 3]) -> String {
        let mut canvas = Canvas::new(38, HEIGHT);
        ship(water, good).draw(&mut canvas, 0, 0, 38, Glyphs { ascii: false });
        canvas.to_text()
    }
}
