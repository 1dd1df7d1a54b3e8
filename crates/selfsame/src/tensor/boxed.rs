//! Visits to parameters of a module whose type is known at run time only.
//!
//! Burn's visitors and mappers are generic over the number of a parameter's axes, so none of them can be a trait object. Here
//! the number becomes a value, and a parameter is handed over as [`Any`]: moved, never copied, so that a mapper that writes in
//! place still holds the only handle to it.

use burn::module::{Flag, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Bool, Int, Tensor};
use std::any::Any;

/// A [`ModuleVisitor`] as a trait object.
pub(crate) trait DynVisitor {
    fn float(&mut self, axes: usize, param: &dyn Any);
    fn int(&mut self, axes: usize, param: &dyn Any);
    fn bool(&mut self, axes: usize, param: &dyn Any);
    fn flag(&mut self, flag: &Param<Flag>);
    fn enter(&mut self, name: &str, container: &str);
    fn exit(&mut self, name: &str, container: &str);
}

/// A [`ModuleMapper`] as a trait object.
pub(crate) trait DynMapper {
    fn float(&mut self, axes: usize, param: Box<dyn Any>) -> Box<dyn Any>;
    fn int(&mut self, axes: usize, param: Box<dyn Any>) -> Box<dyn Any>;
    fn bool(&mut self, axes: usize, param: Box<dyn Any>) -> Box<dyn Any>;
    fn flag(&mut self, flag: Param<Flag>) -> Param<Flag>;
    fn enter(&mut self, name: &str, container: &str);
    fn exit(&mut self, name: &str, container: &str);
}

/// What a boxed module is visited by.
pub(crate) struct Visiting<'a>(pub &'a mut dyn DynVisitor);

/// What a boxed module is mapped by.
pub(crate) struct Mapping<'a>(pub &'a mut dyn DynMapper);

/// Evaluates `$body` with the constant `$D` that `$axes` is equal to.
macro_rules! with_axes {
    ($axes:expr, $D:ident => $body:expr) => {
        match $axes {
            1 => with_axes!(@one 1, $D => $body),
            2 => with_axes!(@one 2, $D => $body),
            3 => with_axes!(@one 3, $D => $body),
            4 => with_axes!(@one 4, $D => $body),
            5 => with_axes!(@one 5, $D => $body),
            axes => panic!("parameters of encoders have 1 to 5 axes, one has {axes}"),
        }
    };
    (@one $value:literal, $D:ident => $body:expr) => {{
        const $D: usize = $value;
        $body
    }};
}

fn seen<P: 'static>(param: &dyn Any) -> &P {
    param.downcast_ref().expect("a parameter of this kind and number of axes")
}

fn taken<P: 'static>(param: Box<dyn Any>) -> P {
    *param.downcast().expect("a parameter of this kind and number of axes")
}

impl<V: ModuleVisitor> DynVisitor for V {
    fn float(&mut self, axes: usize, param: &dyn Any) {
        with_axes!(axes, D => self.visit_float::<D>(seen(param)));
    }
    fn int(&mut self, axes: usize, param: &dyn Any) {
        with_axes!(axes, D => self.visit_int::<D>(seen(param)));
    }
    fn bool(&mut self, axes: usize, param: &dyn Any) {
        with_axes!(axes, D => self.visit_bool::<D>(seen(param)));
    }
    fn flag(&mut self, flag: &Param<Flag>) {
        self.visit_flag(flag);
    }
    fn enter(&mut self, name: &str, container: &str) {
        self.enter_module(name, container);
    }
    fn exit(&mut self, name: &str, container: &str) {
        self.exit_module(name, container);
    }
}

impl ModuleVisitor for Visiting<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.float(D, param);
    }
    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.0.int(D, param);
    }
    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.0.bool(D, param);
    }
    fn visit_flag(&mut self, flag: &Param<Flag>) {
        self.0.flag(flag);
    }
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }
    fn exit_module(&mut self, name: &str, container: &str) {
        self.0.exit(name, container);
    }
}

impl<M: ModuleMapper> DynMapper for M {
    fn float(&mut self, axes: usize, param: Box<dyn Any>) -> Box<dyn Any> {
        with_axes!(axes, D => Box::new(self.map_float::<D>(taken(param))))
    }
    fn int(&mut self, axes: usize, param: Box<dyn Any>) -> Box<dyn Any> {
        with_axes!(axes, D => Box::new(self.map_int::<D>(taken(param))))
    }
    fn bool(&mut self, axes: usize, param: Box<dyn Any>) -> Box<dyn Any> {
        with_axes!(axes, D => Box::new(self.map_bool::<D>(taken(param))))
    }
    fn flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        self.map_flag(flag)
    }
    fn enter(&mut self, name: &str, container: &str) {
        self.enter_module(name, container);
    }
    fn exit(&mut self, name: &str, container: &str) {
        self.exit_module(name, container);
    }
}

impl ModuleMapper for Mapping<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        taken(self.0.float(D, Box::new(param)))
    }
    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        taken(self.0.int(D, Box::new(param)))
    }
    fn map_bool<const D: usize>(&mut self, param: Param<Tensor<D, Bool>>) -> Param<Tensor<D, Bool>> {
        taken(self.0.bool(D, Box::new(param)))
    }
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        self.0.flag(flag)
    }
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }
    fn exit_module(&mut self, name: &str, container: &str) {
        self.0.exit(name, container);
    }
}
