//! Who calls.

use custody_api_types::me::Me;

use crate::answer::Json;
use crate::gate::Admitted;

pub(crate) async fn me(admitted: Admitted) -> Json<Me> {
    let caller = admitted.caller;
    Json(Me {
        user: caller.user,
        grants: caller.grants,
        scopes: caller.scopes,
        token: caller.token,
        transport: caller.origin.transport,
    })
}
