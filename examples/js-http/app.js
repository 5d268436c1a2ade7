// An HTTP service in JavaScript, written like one for a browser's service worker: the host's requests are
// `fetch` events.

const boats = new Map([
  ["dinghy", { crew: 1, sails: 1 }],
  ["sloop", { crew: 4, sails: 2 }],
]);

async function answer(request) {
  const { pathname } = new URL(request.url);
  if (request.method === "POST" && pathname === "/crew") {
    const names = await request.json();
    const crew = names.reduce((sum, name) => sum + (boats.get(name)?.crew ?? 0), 0);
    return Response.json({ crew });
  }
  const boat = boats.get(pathname.slice(1));
  if (boat === undefined) {
    return Response.json({ boats: [...boats.keys()] }, { status: 404 });
  }
  return Response.json(boat);
}

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));
