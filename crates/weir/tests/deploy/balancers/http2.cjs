// Opens more streams on one connection of HTTP/2 than a browser has connections, and says how many began.
// node http2.cjs HOST:PORT CA-FILE
const { readFileSync } = require("node:fs");
const http2 = require("node:http2");

const [address, authority] = process.argv.slice(2);
const STREAMS = 12;
const session = http2.connect(`https://${address}`, { ca: readFileSync(authority), servername: "localhost" });
session.on("error", fail);

let begun = 0;
for (let nth = 0; nth < STREAMS; nth++) {
    const stream = session.request({ ":path": `/v1/sessions/${nth}/events` });
    let text = "";
    stream.setEncoding("utf8").on("error", fail);
    stream.on("data", (chunk) => {
        if (!text.includes("event: weir.connected") && (text += chunk).includes("event: weir.connected")) {
            begun += 1;
            if (begun === STREAMS) {
                console.log(`${begun} streams over ${session.alpnProtocol}`);
                process.exit(0);
            }
        }
    });
}

function fail(error) {
    console.error(error.message);
    process.exit(1);
}
