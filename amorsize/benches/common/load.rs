//! Calls of different lengths with a known mean.

/// Rounds for each item of a row, so that the mean is `mean`.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) mean: u32,
    pub(crate) items: usize,
    pub(crate) heavy: Heavy,
}

#[derive(Clone, Copy)]
pub(crate) enum Heavy {
    None,
    Spread,
    Last,
}

impl Load {
    #[inline]
    pub(crate) fn rounds(self, index: usize) -> u32 {
        let heavy = match self.heavy {
            Heavy::None => return self.mean,
            Heavy::Spread => index % 100 == 37,
            Heavy::Last => index >= self.items - self.items / 100,
        };
        // 99 light ones and one of a hundred times that have this mean.
        let light = self.mean * 100 / 199;
        if heavy { 100 * light } else { light }
    }
}
