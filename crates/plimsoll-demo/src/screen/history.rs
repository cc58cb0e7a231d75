//! What the drawing remembers between two frames.

use std::collections::VecDeque;

use super::Seen;
use super::ship::Glyphs;
use crate::catalogue::capacity;
use crate::message::ShopState;

/// Both arms' past.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) arms: [ArmHistory; 2],
    pub(super) frame: usize,
}

/// One arm's past.
#[derive(Debug, Default)]
pub(super) struct ArmHistory {
    /// Over the capacity, see [`super::ship`].
    pub(super) water: f64,
    /// Time and count of what reached the shop, over the last second.
    arrived: VecDeque<(f64, u64)>,
    /// Time and good answers per second.
    goodput: Vec<(f64, f64)>,
}

impl History {
    /// Takes in what is seen now.
    pub(super) fn on_seen(&mut self, seen: &Seen) {
        self.frame += 1;
        for ((arm, live), shop) in self.arms.iter_mut().zip(&seen.live.arms).zip(seen.shops) {
            arm.on_shop(seen.live.at, shop);
            if seen.live.at >= 0.0 {
                arm.goodput.push((seen.live.at, live.good.iter().sum()));
            }
        }
    }
}

impl ArmHistory {
    fn on_shop(&mut self, at: f64, shop: &ShopState) {
        self.arrived.push_back((at, shop.arrived));
        while self.arrived.len() > 2
            && self
                .arrived
                .front()
                .is_some_and(|(then, _)| at - then > 1.1)
        {
            self.arrived.pop_front();
        }
        let Some((then, count)) = self.arrived.front().copied() else {
            return;
        };
        let seconds = at - then;
        if seconds > 0.0 {
            let arriving = shop.arrived.saturating_sub(count) as f64 / seconds;
            let waiting: usize = shop.services.iter().map(|service| service.waiting).sum();
            self.water = (arriving + waiting as f64) / capacity();
        }
    }

    /// Goodput over the whole run as a row of `width` blocks, the shop's capacity being full height.
    pub(super) fn line(&self, width: usize, seconds: f64, glyphs: Glyphs) -> String {
        let blocks: [char; 8] = if glyphs.ascii {
            ['_', '.', ':', '-', '=', '+', '*', '#']
        } else {
            ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
        };
        let mut sums = vec![(0.0, 0u32); width];
        for (at, goodput) in &self.goodput {
            let place = (at / seconds * width as f64) as usize;
            if let Some((sum, count)) = sums.get_mut(place.min(width.saturating_sub(1))) {
                *sum += goodput;
                *count += 1;
            }
        }
        let block = |(sum, count): &(f64, u32)| {
            if *count == 0 {
                return ' ';
            }
            let share = sum / f64::from(*count) / capacity();
            let place = (share * 8.0).round().clamp(1.0, 8.0) as usize - 1;
            blocks.get(place).copied().unwrap_or(' ')
        };
        sums.iter().map(block).collect()
    }
}
