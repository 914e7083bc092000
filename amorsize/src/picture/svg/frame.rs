//! The common parts of plots: heading, grid, marks, names, lines and areas.

use super::{BOLD, Drawing, Look, SMALL};
use crate::picture::markup::{Path, fit, width};
use crate::picture::scale::{Scale, Tick};

/// The name of a line, and its place.
#[derive(Debug)]
struct Name {
    look: Look,
    y: f64,
    text: String,
}

impl Drawing<'_> {
    /// Draws a heading, the grid, marks at the left and names; returns the plot's scale, with its
    /// top at the plot's.
    #[inline]
    pub(super) fn plot(
        &mut self,
        title: &str,
        high: f64,
        top: f64,
        marks: &[Tick],
        names: &mut Vec<(Look, f64, String)>,
    ) -> Scale {
        let (from, to, margin) = (self.layout.from, self.layout.to, self.layout.margin);
        self.y += 26.0;
        self.svg.text("head", margin, self.y, title);
        let mut ceiling = self.y + 12.0;
        if !self.layout.names_at_right {
            ceiling = self.names_above(margin + width(title, SMALL) * BOLD + 14.0, names);
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
        if self.layout.names_at_right {
            let names = names.drain(..).map(|(look, value, text)| Name { look, y: scale.at(value), text });
            self.names_at_right(names.collect(), &scale);
        }
        self.svg.line("base", (from, scale.from), (to, scale.from));
        self.y = scale.from;
        scale
    }

    /// Draws names beside the ends of their lines, moved apart if they would overlap.
    #[inline]
    fn names_at_right(&mut self, mut names: Vec<Name>, scale: &Scale) {
        const APART: f64 = 17.0;
        names.sort_by(|one, other| one.y.total_cmp(&other.y));
        let mut places: Vec<f64> = names.iter().map(|name| name.y).collect();
        for place in 1..places.len() {
            places[place] = places[place].max(places[place - 1] + APART);
        }
        let mut lowest = scale.from;
        for place in places.iter_mut().rev() {
            *place = place.min(lowest);
            lowest = *place - APART;
        }
        let to = self.layout.to;
        for (name, y) in names.iter().zip(places) {
            let mut x = to + 14.0;
            if !matches!(name.look, Look::None) {
                self.svg.line("lead", (to + 2.0, name.y), (to + 12.0, y));
                self.look(name.look, x, y);
                x += 24.0;
            }
            self.svg.text("ink", x, y + 4.0, &fit(&name.text, SMALL, self.layout.width - x));
        }
    }

    /// Draws names between the heading and the plot, from `x` on beside the heading; returns the
    /// place at which the plot may begin.
    #[inline]
    fn names_above(&mut self, mut x: f64, names: &[(Look, f64, String)]) -> f64 {
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
            Look::Area(area, line) => {
                self.svg.rect(area, x, y - 3.0, 18.0, 8.0);
                self.svg.line(line, (x, y - 3.0), (x + 18.0, y - 3.0));
            }
            Look::Line(line) => self.svg.line(line, (x, y), (x + 18.0, y)),
            Look::None => {}
        }
    }

    #[inline]
    pub(super) fn area(&mut self, points: &[(f64, f64)], ground: f64, look: Look) {
        if let Look::Area(area, line) = look {
            self.fill(area, points, ground);
            self.stroke(line, points);
        }
    }

    #[inline]
    pub(super) fn fill(&mut self, class: &str, points: &[(f64, f64)], ground: f64) {
        if let [(first, _), .., (last, _)] = points {
            let mut path = Path::default();
            path.begin(*first, ground);
            points.iter().for_each(|(x, y)| path.go(*x, *y));
            path.go(*last, ground);
            path.close();
            self.svg.path(class, &path);
        }
    }

    #[inline]
    pub(super) fn stroke(&mut self, class: &str, points: &[(f64, f64)]) {
        if let [(x, y), rest @ ..] = points {
            let mut path = Path::default();
            path.begin(*x, *y);
            rest.iter().for_each(|(x, y)| path.go(*x, *y));
            self.svg.path(class, &path);
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
