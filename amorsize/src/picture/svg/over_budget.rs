//! The parts of the picture about memory over the budget.

use super::frame::Name;
use super::{Drawing, Look, SMALL, fit, lines};
use crate::picture::scale::{self, Scale};

impl Drawing<'_> {
    /// Draws the run's warnings, below the heading.
    #[inline]
    pub(super) fn warnings(&mut self) {
        let room = self.layout.width - 2.0 * self.layout.margin;
        for warning in self.report.warnings() {
            self.y += 4.0;
            for line in lines(&format!("Warning: {warning}"), SMALL, room) {
                self.y += 17.0;
                self.svg.text("ink", self.layout.margin, self.y, &fit(&line, SMALL, room));
            }
        }
    }

    /// The name of the part above the budget, half way between it and the peak.
    #[inline]
    pub(super) fn name_over_budget(&self, names: &mut Vec<Name>) {
        let Some(over) = self.report.over_budget() else { return };
        let from = self.report.over_from();
        let from = from.map_or_else(String::new, |seconds| format!(" from {}", scale::seconds(seconds)));
        let middle = self.report.budget().as_f64() + over.as_f64() / 2.0;
        names.push((Look::Area("over"), middle, format!("{over} over{from}")));
    }

    /// Fills the parts of resident memory above the budget, and marks the first point there.
    #[inline]
    pub(super) fn over_budget(&mut self, resident: &[(f64, f64)], scale: &Scale) {
        if self.report.over_budget().is_none() {
            return;
        }
        let ground = scale.at(self.report.budget().as_f64());
        let stretches = stretches(resident, ground);
        for stretch in &stretches {
            self.area("over", stretch, ground);
        }
        if let Some(&(x, y)) = stretches.first().and_then(|stretch| stretch.first()) {
            self.svg.circle("over-dot", x, y.max(scale.to).min(ground), 4.0);
        }
    }
}

/// The parts of a line above a height, each from the point where it rises above it to the point
/// where it falls below. Heights grow downwards.
#[inline]
fn stretches(line: &[(f64, f64)], height: f64) -> Vec<Vec<(f64, f64)>> {
    let mut stretches: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut before: Option<(f64, f64)> = None;
    for &(x, y) in line {
        let crossing = before.filter(|&(_, last)| (last < height) != (y < height)).map(|(from, last)| {
            let part = (height - last) / (y - last);
            (from + part * (x - from), height)
        });
        let is_above = y < height;
        if is_above && before.is_none_or(|(_, last)| last >= height) {
            stretches.push(Vec::new());
        }
        if let Some(stretch) = stretches.last_mut() {
            stretch.extend(crossing);
            if is_above {
                stretch.push((x, y));
            }
        }
        before = Some((x, y));
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_begins_and_ends_on_the_line() {
        assert_eq!(stretches(&[(0.0, 50.0), (10.0, 40.0)], 30.0), Vec::<Vec<_>>::new());
        let line = [(0.0, 50.0), (10.0, 10.0), (20.0, 20.0), (30.0, 40.0), (40.0, 40.0), (50.0, 20.0)];
        assert_eq!(
            stretches(&line, 30.0),
            [vec![(5.0, 30.0), (10.0, 10.0), (20.0, 20.0), (25.0, 30.0)], vec![(45.0, 30.0), (50.0, 20.0)]]
        );
        // A line that begins above, and one that only touches the height.
        assert_eq!(stretches(&[(0.0, 10.0), (10.0, 50.0)], 30.0), [vec![(0.0, 10.0), (5.0, 30.0)]]);
        assert_eq!(stretches(&[(0.0, 30.0), (10.0, 30.0)], 30.0), Vec::<Vec<_>>::new());
    }
}
