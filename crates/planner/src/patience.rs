//! Asked between units of work whether there is time for more. Once it has said no, it says no for good.
//!
//! It knows no clock: who calls decides what patience is. What is asked costs little next to what lies between two
//! questions.

pub(crate) struct Patience<'a> {
    more: &'a mut dyn FnMut() -> bool,
    left: bool,
}

impl<'a> Patience<'a> {
    pub(crate) fn of(more: &'a mut dyn FnMut() -> bool) -> Self {
        Self { more, left: true }
    }

    /// Is there time for one more unit of work?
    pub(crate) fn lasts(&mut self) -> bool {
        self.left = self.left && (self.more)();
        self.left
    }

    /// What the last answer was.
    pub(crate) const fn is_out(&self) -> bool {
        !self.left
    }
}
