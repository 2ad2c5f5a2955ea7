//! Object attributes as a client passes them, and their validation.

use crate::abi::{
    STATUS_WDF_EXECUTION_LEVEL_INVALID, STATUS_WDF_OBJECT_ATTRIBUTES_INVALID,
    STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED, STATUS_WDF_PARENT_NOT_SPECIFIED,
    STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID, WDF_OBJECT_ATTRIBUTES, WDF_OBJECT_CONTEXT_TYPE_INFO,
    WDFOBJECT, WdfExecutionLevelDispatch, WdfExecutionLevelInheritFromParent,
    WdfSynchronizationScopeInheritFromParent, WdfSynchronizationScopeNone,
};
use crate::kernel::{Outcome, ulong};
use nt_abi::STATUS_INFO_LENGTH_MISMATCH;

/// What a kind of object allows in its attributes.
#[derive(Clone, Copy)]
pub struct Rules {
    pub parent: ParentRule,
    /// Whether execution level and synchronization scope may be set.
    pub levels: bool,
}

/// Whether `ParentObject` may or must be set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ParentRule {
    Optional,
    Forbidden,
    Required,
}

/// Attributes that passed validation, with the context type that they point to.
#[derive(Clone, Copy)]
pub struct Attributes {
    raw: WDF_OBJECT_ATTRIBUTES,
    type_info: Option<WDF_OBJECT_CONTEXT_TYPE_INFO>,
}

const NONE: WDF_OBJECT_ATTRIBUTES = WDF_OBJECT_ATTRIBUTES {
    Size: ulong(size_of::<WDF_OBJECT_ATTRIBUTES>()),
    EvtCleanupCallback: None,
    EvtDestroyCallback: None,
    ExecutionLevel: WdfExecutionLevelInheritFromParent,
    SynchronizationScope: WdfSynchronizationScopeInheritFromParent,
    ParentObject: WDFOBJECT::NULL,
    ContextSizeOverride: 0,
    ContextTypeInfo: core::ptr::null(),
};

impl Attributes {
    /// What `WDF_NO_OBJECT_ATTRIBUTES` stands for.
    pub const DEFAULT: Self = Self {
        raw: NONE,
        type_info: None,
    };

    /// Copies and validates a client's attributes.
    ///
    /// # Errors
    /// The statuses of "Framework Object Creation Errors".
    ///
    /// # Safety
    /// `attributes` is null or points to a `WDF_OBJECT_ATTRIBUTES`.
    pub unsafe fn read(attributes: *const WDF_OBJECT_ATTRIBUTES, rules: Rules) -> Outcome<Self> {
        if attributes.is_null() {
            return if rules.parent == ParentRule::Required {
                Err(STATUS_WDF_PARENT_NOT_SPECIFIED)
            } else {
                Ok(Self::DEFAULT)
            };
        }
        // SAFETY: By contract it is readable.
        let raw = unsafe { attributes.read() };
        if raw.Size as usize != size_of::<WDF_OBJECT_ATTRIBUTES>() {
            return Err(STATUS_INFO_LENGTH_MISMATCH);
        }
        // SAFETY: A pointer to type information is null or points to a constant of the client.
        let type_info = unsafe { raw.ContextTypeInfo.as_ref() }.copied();
        validate(&raw, type_info.as_ref(), rules)?;
        Ok(Self { raw, type_info })
    }

    pub const fn raw(&self) -> &WDF_OBJECT_ATTRIBUTES {
        &self.raw
    }

    pub const fn type_info(&self) -> Option<&WDF_OBJECT_CONTEXT_TYPE_INFO> {
        self.type_info.as_ref()
    }

    pub const fn parent(&self) -> WDFOBJECT {
        self.raw.ParentObject
    }

    /// Whether an object with these attributes needs a context block.
    pub const fn wants_context(&self) -> bool {
        self.type_info.is_some()
            || self.raw.EvtCleanupCallback.is_some()
            || self.raw.EvtDestroyCallback.is_some()
    }
}

fn validate(
    raw: &WDF_OBJECT_ATTRIBUTES,
    type_info: Option<&WDF_OBJECT_CONTEXT_TYPE_INFO>,
    rules: Rules,
) -> Outcome {
    /// The size of the type information of framework version 1.0.
    const TYPE_INFO_V1_0: usize = 0x18;

    if let Some(info) = type_info {
        let size = info.Size as usize;
        if size != size_of::<WDF_OBJECT_CONTEXT_TYPE_INFO>() && size != TYPE_INFO_V1_0 {
            return Err(STATUS_INFO_LENGTH_MISMATCH);
        }
        if info.ContextSize > 0 && info.ContextName.is_null() {
            return Err(STATUS_WDF_OBJECT_ATTRIBUTES_INVALID);
        }
    }
    let declared = type_info.map(|info| info.ContextSize);
    if raw.ContextSizeOverride > 0 && declared.is_none_or(|size| raw.ContextSizeOverride < size) {
        return Err(STATUS_WDF_OBJECT_ATTRIBUTES_INVALID);
    }
    match rules.parent {
        ParentRule::Forbidden if raw.ParentObject != WDFOBJECT::NULL => {
            return Err(STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED);
        }
        ParentRule::Required if raw.ParentObject == WDFOBJECT::NULL => {
            return Err(STATUS_WDF_PARENT_NOT_SPECIFIED);
        }
        _ => {}
    }
    let levels = WdfExecutionLevelInheritFromParent..=WdfExecutionLevelDispatch;
    let scopes = WdfSynchronizationScopeInheritFromParent..=WdfSynchronizationScopeNone;
    if !levels.contains(&raw.ExecutionLevel) || !scopes.contains(&raw.SynchronizationScope) {
        return Err(STATUS_WDF_OBJECT_ATTRIBUTES_INVALID);
    }
    if !rules.levels {
        if raw.SynchronizationScope != WdfSynchronizationScopeInheritFromParent
            && raw.SynchronizationScope != WdfSynchronizationScopeNone
        {
            return Err(STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID);
        }
        if raw.ExecutionLevel != WdfExecutionLevelInheritFromParent {
            return Err(STATUS_WDF_EXECUTION_LEVEL_INVALID);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nt_abi::STATUS_SUCCESS;

    const ANY: Rules = Rules {
        parent: ParentRule::Optional,
        levels: true,
    };

    fn read(raw: WDF_OBJECT_ATTRIBUTES, rules: Rules) -> i32 {
        // SAFETY: The attributes are a local variable.
        unsafe { Attributes::read(&raw const raw, rules) }.map_or_else(|s| s, |_| STATUS_SUCCESS)
    }

    #[test]
    fn each_defect_has_its_status() {
        let info = WDF_OBJECT_CONTEXT_TYPE_INFO {
            Size: 0x28,
            ContextName: c"T".as_ptr(),
            ContextSize: 32,
            UniqueType: core::ptr::null(),
            EvtDriverGetUniqueContextType: None,
        };
        let typed = WDF_OBJECT_ATTRIBUTES {
            ContextTypeInfo: &raw const info,
            ..NONE
        };
        assert_eq!(read(NONE, ANY), STATUS_SUCCESS);
        assert_eq!(read(typed, ANY), STATUS_SUCCESS);
        let short = WDF_OBJECT_ATTRIBUTES { Size: 0x37, ..NONE };
        assert_eq!(read(short, ANY), STATUS_INFO_LENGTH_MISMATCH);
        let small = WDF_OBJECT_ATTRIBUTES {
            ContextSizeOverride: 31,
            ..typed
        };
        assert_eq!(read(small, ANY), STATUS_WDF_OBJECT_ATTRIBUTES_INVALID);
        let untyped = WDF_OBJECT_ATTRIBUTES {
            ContextSizeOverride: 8,
            ..NONE
        };
        assert_eq!(read(untyped, ANY), STATUS_WDF_OBJECT_ATTRIBUTES_INVALID);
        let level = WDF_OBJECT_ATTRIBUTES {
            ExecutionLevel: 0,
            ..NONE
        };
        assert_eq!(read(level, ANY), STATUS_WDF_OBJECT_ATTRIBUTES_INVALID);
        let level = WDF_OBJECT_ATTRIBUTES {
            ExecutionLevel: 2,
            ..NONE
        };
        assert_eq!(
            read(
                level,
                Rules {
                    levels: false,
                    ..ANY
                }
            ),
            STATUS_WDF_EXECUTION_LEVEL_INVALID
        );
        let scope = WDF_OBJECT_ATTRIBUTES {
            SynchronizationScope: 2,
            ..NONE
        };
        assert_eq!(
            read(
                scope,
                Rules {
                    levels: false,
                    ..ANY
                }
            ),
            STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID,
        );
        let parent = WDF_OBJECT_ATTRIBUTES {
            ParentObject: WDFOBJECT(3),
            ..NONE
        };
        let forbidden = Rules {
            parent: ParentRule::Forbidden,
            ..ANY
        };
        assert_eq!(
            read(parent, forbidden),
            STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED
        );
        let required = Rules {
            parent: ParentRule::Required,
            ..ANY
        };
        assert_eq!(read(NONE, required), STATUS_WDF_PARENT_NOT_SPECIFIED);
    }
}
