//! Functions that the crate's driver bindings link to and this driver does not have.

use std::ffi::c_int;

use crate::codes::Code;

/// Functions that take anything and answer `NOT_SUPPORTED`.
macro_rules! unsupported {
    ($($name:ident)+) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> c_int {
            Code::NotSupported as c_int
        }
    )+};
}

unsupported! {
    cuMemAllocManaged cuMemAdvise cuMemPrefetchAsync cuMemAllocPitch_v2 cuMemcpy2D_v2 cuMemcpyHtoA_v2 cuMemcpyAtoH_v2
    cuArray3DCreate_v2 cuArray3DGetDescriptor_v2 cuArrayDestroy
    cuTexObjectCreate cuTexObjectDestroy cuTexObjectGetResourceDesc cuTexObjectGetResourceViewDesc
    cuSurfObjectCreate cuSurfObjectDestroy cuSurfObjectGetResourceDesc
    cuLinkCreate_v2 cuLinkAddData_v2 cuLinkComplete cuLinkDestroy
    cuGraphCreate cuGraphDestroy cuGraphAddKernelNode cuGraphGetNodes cuGraphGetEdges cuGraphNodeGetType
    cuGraphKernelNodeGetParams cuGraphDebugDotPrint
    cuImportExternalMemory cuExternalMemoryGetMappedBuffer cuDestroyExternalMemory
    cuStreamBeginCapture_v2 cuStreamEndCapture cuGraphInstantiate_v2 cuGraphLaunch cuGraphExecDestroy
}
