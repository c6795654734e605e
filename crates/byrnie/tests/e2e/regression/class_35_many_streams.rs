//! Many streams that end at once (CVE-2021-32778): it costs as much as they are, not its square.

use super::frames::{END_STREAM, Frames, get};
use super::site::Site;

#[test]
fn many_streams_that_end_at_once_cost_what_they_are() {
    let site = Site::open();
    for _ in 0..20 {
        let mut client = Frames::open(&site.gateway, &[(4, 0)]);
        for stream in (1..4000).step_by(2) {
            if client.request(stream, END_STREAM, &get("/big/100")).is_err() {
                break;
            }
        }
        // Closed with all that it has.
    }
    site.origin.take();
    site.holds();
}
