//! Your own asynchronous host function: to the guest it is a plain import that takes its time.
//!
//! `cargo run --example async_host_fn`

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "an example is short"
)]

use std::time::Duration;

use dormouse::model::{ValType, Value};
use dormouse::task::{HostFunctions, HostReply};
use dormouse::{Error, Policy, Runtime, Task};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut functions = HostFunctions::default();
    // int price(const char *name, int length), in module "shop".
    let params = [ValType::I32, ValType::I32];
    functions.add("shop", "price", &params, &[ValType::I32], |call| {
        // The guest's memory can be read until the first await.
        let name = match call.arguments[..] {
            [Value::I32(address), Value::I32(length)] => call
                .memory
                .get(address as usize..address as usize + length as usize)
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        };
        async move {
            let name = name.ok_or("the name lies outside the guest's memory")?;
            println!("host: looking up {name}");
            tokio::time::sleep(Duration::from_millis(300)).await;
            Ok(HostReply::value(Value::I32(name.len() as u32 * 100)))
        }
    });
    let runtime = Runtime::builder().functions(functions).build()?;
    let program = runtime.load(include_bytes!("../wasm/bin/ex_price.wasm"))?;
    let mut task = Task::builder(&runtime, &program).start()?;
    assert_eq!(task.run(Policy::Never).await?.exit_code(), Some(0));
    Ok(())
}
