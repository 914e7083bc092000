//! The common parts of plots: heading, grid, marks, names, lines and areas.

use super::{BOLD, Drawing, Look, SMALL};
use crate::picture::markup::{Path, fit, width};
use crate::picture::scale::{Scale, Tick};

/// The name of a line or an area, at the value where that ends.
pub(super) type Name = (Look, f64, String);

impl Drawing<'_> {
    /// Draws a heading, the grid, marks at the left and names; returns the plot's scale, with its
    /// top at the plot's.
    #[inline]
    pub(super) fn plot(&mut self, title: &str, high: f64, top: f64, marks: &[Tick], names: Vec<Name>) -> Scale {
        let (from, to, margin) = (self.layout.from, self.layout.to, self.layout.margin);
        self.y += 26.0;
        self.svg.text("head", margin, self.y, title);
        let mut ceiling = self.y + 12.0;
        if !self.layout.is_wide {
            ceiling = self.names_above(margin + width(title, SMALL) * BOLD + 14.0, &names);
        }
        let scale = Scale { top, from: ceiling + high, to: ceiling };
        for mark in &self.time_marks {
            let x = self.time.at(mark.value);
            self.svg.line("grid", (x, scale.to), (x, scale.from));
        }
        for mark in marks {
            let y = scale.at(mark.value);
            self.svg.line("grid", (from, y), (to, y));
            self.svg.text("tick", from - 8.0, y + 4.0, &mark.label);
        }
        if self.layout.is_wide {
            self.names_at_right(names, &scale);
        }
        self.svg.line("base", (from, scale.from), (to, scale.from));
        self.y = scale.from;
        scale
    }

    /// Draws names beside the ends of their lines, moved apart if they would overlap.
    #[inline]
    fn names_at_right(&mut self, mut names: Vec<Name>, scale: &Scale) {
        // The height of a line of text.
        const APART: f64 = 17.0;
        names.iter_mut().for_each(|(_, y, _)| *y = scale.at(*y));
        names.sort_by(|(_, one, _), (_, other, _)| one.total_cmp(other));
        let mut places: Vec<f64> = names.iter().map(|(_, y, _)| *y).collect();
        for place in 1..places.len() {
            places[place] = places[place].max(places[place - 1] + APART);
        }
        let mut lowest = scale.from;
        for place in places.iter_mut().rev() {
            *place = place.min(lowest);
            lowest = *place - APART;
        }
        let to = self.layout.to;
        for ((look, line, text), y) in names.iter().zip(places) {
            let mut x = to + 14.0;
            if !matches!(look, Look::None) {
                self.svg.line("lead", (to + 2.0, *line), (to + 12.0, y));
                self.look(*look, x, y);
                x += 24.0;
            }
            self.svg.text("ink", x, y + 4.0, &fit(text, SMALL, self.layout.width - x));
        }
    }

    /// Draws names between the heading and the plot, from `x` on beside the heading; returns the
    /// place at which the plot may begin.
    #[inline]
    fn names_above(&mut self, mut x: f64, names: &[Name]) -> f64 {
        for (look, _, text) in names {
            let key = if matches!(look, Look::None) { 0.0 } else { 22.0 };
            let wide = key + width(text, SMALL);
            if x + wide > self.layout.width - self.layout.margin {
                x = self.layout.margin;
                self.y += 18.0;
            }
            self.look(*look, x, self.y - 4.0);
            self.svg.text("ink", x + key, self.y, text);
            x += wide + 14.0;
        }
        self.y + 12.0
    }

    /// Draws a bit of a line or an area, as a key.
    #[inline]
    fn look(&mut self, look: Look, x: f64, y: f64) {
        match look {
            Look::Area(name) => {
                self.svg.rect(&format!("{name}-area"), x, y - 3.0, 18.0, 8.0);
                self.svg.line(&format!("{name}-line"), (x, y - 3.0), (x + 18.0, y - 3.0));
            }
            Look::Line(name) => self.svg.line(&format!("{name}-line"), (x, y), (x + 18.0, y)),
            Look::None => {}
        }
    }

    /// Draws an area and the line above it.
    #[inline]
    pub(super) fn area(&mut self, name: &str, points: &[(f64, f64)], ground: f64) {
        self.fill(&format!("{name}-area"), points, ground);
        self.stroke(&format!("{name}-line"), points);
    }

    #[inline]
    pub(super) fn fill(&mut self, class: &str, points: &[(f64, f64)], ground: f64) {
        if let [(first, _), .., (last, _)] = *points {
            let around = [(first, ground)].into_iter().chain(points.iter().copied()).chain([(last, ground)]);
            let mut path = Path::along(around);
            path.close();
            self.svg.path(class, &path);
        }
    }

    #[inline]
    pub(super) fn stroke(&mut self, class: &str, points: &[(f64, f64)]) {
        if !points.is_empty() {
            self.svg.path(class, &Path::along(points.iter().copied()));
        }
    }

    #[inline]
    pub(super) fn time_axis(&mut self) {
        self.y += 17.0;
        for mark in std::mem::take(&mut self.time_marks) {
            self.svg.text("time", self.time.at(mark.value), self.y, &mark.label);
        }
    }
}
