//! How a kernel moves.

use super::proto::Attribute;

/// Along the height and the width of a map.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    kernel: [i64; 2],
    stride: [i64; 2],
    before: [i64; 2],
    after: [i64; 2],
    dilation: i64,
}

impl Window {
    /// The same along both sides.
    pub fn square(kernel: i64, stride: i64, padding: i64) -> Self {
        let [before, after] = [[padding; 2]; 2];
        Self { kernel: [kernel; 2], stride: [stride; 2], before, after, dilation: 1 }
    }

    /// In time, of a signal that is a map of height 1.
    pub fn in_time(kernel: i64, stride: i64, [before, after]: [i64; 2]) -> Self {
        Self { kernel: [1, kernel], stride: [1, stride], before: [0, before], after: [0, after], dilation: 1 }
    }

    /// The same with taps that are so many steps apart; it is padded by what these need.
    pub fn dilated(self, dilation: i64) -> Self {
        let scaled = |padding: [i64; 2]| padding.map(|padding| padding * dilation);
        Self { before: scaled(self.before), after: scaled(self.after), dilation, ..self }
    }

    /// What an operation says of it.
    pub fn attributes(self) -> Vec<Attribute> {
        let Self { kernel, stride, before, after, dilation } = self;
        let mut attributes = vec![
            Attribute::ints("kernel_shape", &kernel),
            Attribute::ints("strides", &stride),
            Attribute::ints("pads", &[before, after].concat()),
        ];
        if dilation > 1 {
            attributes.push(Attribute::ints("dilations", &[1, dilation]));
        }
        attributes
    }
}
