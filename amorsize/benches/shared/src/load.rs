//! Calls of different lengths with a known mean.

/// The distribution of a row's work over its items.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Rounds of [`work`](crate::work) per item on average.
    pub mean: u32,
    /// Items of the row.
    pub items: usize,
    /// The items that take longer than others.
    pub heavy: Heavy,
}

/// The items that take longer than others: but for `Mixed`, a hundred times as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heavy {
    /// None of them.
    None,
    /// One of a hundred, all over the input.
    Spread,
    /// The last hundredth.
    Last,
    /// Lengths of 30 to 100 sixty-fifths of the mean take turns, 36 of them.
    Mixed,
}

impl Load {
    /// The rounds of one item. The mean of all items is `mean`.
    #[inline]
    #[must_use]
    pub fn rounds(self, index: usize) -> u32 {
        let heavy = match self.heavy {
            Heavy::None => return self.mean,
            Heavy::Spread => index % 100 == 37,
            Heavy::Last => index >= self.items - self.items / 100,
            Heavy::Mixed => return (u64::from(self.mean) * (30 + 2 * (index as u64 * 7 % 36)) / 65) as u32,
        };
        // 99 light items and one that takes a hundred times as long have this mean.
        let light = self.mean * 100 / 199;
        if heavy { 100 * light } else { light }
    }
}
