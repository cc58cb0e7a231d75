//! The atomics that threads share: those of the standard library, or loom's under `--cfg loom`, which tries
//! every order in which threads may see them.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic;

/// Loom's atomics with the sequential consistency that loom itself leaves out: it treats `SeqCst` as `AcqRel`,
/// and would report as lost what is not. A fence after each such write is how the order is made on x86. That is
/// enough for what is done here (write one word, then read another), and it orders the relaxed accesses around it
/// too: of two such writes in a row, that the first is needed does not show.
#[cfg(loom)]
pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::Ordering;
    use loom::sync::atomic::fence;

    macro_rules! atomic {
        ($name:ident, $number:ty) => {
            #[derive(Debug, Default)]
            pub(crate) struct $name(loom::sync::atomic::$name);

            #[allow(dead_code, reason = "not every width needs every operation")]
            impl $name {
                pub(crate) fn new(value: $number) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }

                pub(crate) fn load(&self, order: Ordering) -> $number {
                    self.0.load(order)
                }

                pub(crate) fn store(&self, value: $number, order: Ordering) {
                    self.0.store(value, order);
                    if order == Ordering::SeqCst {
                        fence(Ordering::SeqCst);
                    }
                }

                pub(crate) fn swap(&self, value: $number, order: Ordering) -> $number {
                    written(order, self.0.swap(value, order))
                }

                pub(crate) fn fetch_add(&self, more: $number, order: Ordering) -> $number {
                    written(order, self.0.fetch_add(more, order))
                }

                pub(crate) fn fetch_sub(&self, less: $number, order: Ordering) -> $number {
                    written(order, self.0.fetch_sub(less, order))
                }

                pub(crate) fn fetch_max(&self, value: $number, order: Ordering) -> $number {
                    written(order, self.0.fetch_max(value, order))
                }

                pub(crate) fn compare_exchange(
                    &self,
                    current: $number,
                    new: $number,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$number, $number> {
                    let result = self.0.compare_exchange(current, new, success, failure);
                    written(success, result)
                }

                pub(crate) fn try_update(
                    &self,
                    set: Ordering,
                    fetch: Ordering,
                    update: impl FnMut($number) -> Option<$number>,
                ) -> Result<$number, $number> {
                    written(set, self.0.fetch_update(set, fetch, update))
                }

                pub(crate) fn fetch_update(
                    &self,
                    set: Ordering,
                    fetch: Ordering,
                    update: impl FnMut($number) -> Option<$number>,
                ) -> Result<$number, $number> {
                    self.try_update(set, fetch, update)
                }
            }
        };
    }

    atomic!(AtomicU32, u32);
    atomic!(AtomicU64, u64);

    fn written<T>(order: Ordering, result: T) -> T {
        if order == Ordering::SeqCst {
            fence(Ordering::SeqCst);
        }
        result
    }
}
