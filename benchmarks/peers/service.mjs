// A CDS Hooks service on Node's own http server, without a framework: parses the body, answers one fixed card.
//     node benchmarks/peers/service.mjs PORT
import { createServer } from "node:http";
import { randomUUID } from "node:crypto";

createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const answer = (status, body) => {
      const text = JSON.stringify(body);
      response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) });
      response.end(text);
    };
    if (request.method === "GET") return answer(200, { services: [] });
    const asked = JSON.parse(Buffer.concat(parts).toString());
    if (!asked.hook || !asked.context?.patientId) return answer(400, {});
    const card = { uuid: randomUUID(), summary: "A fixed card", indicator: "info", source: { label: "peer" } };
    return answer(200, { cards: [card] });
  });
}).listen(Number(process.argv[2]), "127.0.0.1");
