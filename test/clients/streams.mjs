// exec and port-forward by the JavaScript client: prints what came of it as one line of JSON.
import { createServer, connect } from 'node:net';
import { PassThrough } from 'node:stream';
import { Exec, KubeConfig, PortForward } from '@kubernetes/client-node';

const [namespace, boat, web, port] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromDefault();

function gathered(stream) {
    const parts = [];
    stream.on('data', (part) => parts.push(part));
    return () => Buffer.concat(parts).toString();
}

async function run(command, stdin) {
    const [out, err] = [new PassThrough(), new PassThrough()];
    const [stdout, stderr] = [gathered(out), gathered(err)];
    const status = await new Promise((resolve, reject) => {
        new Exec(config)
            .exec(namespace, boat, 'main', command, out, err, stdin, false, resolve)
            .catch(reject);
    });
    return { stdout: stdout(), stderr: stderr(), status };
}

const first = await run(['sh', '-c', 'echo ahoy; echo oops >&2; exit 3'], null);
const input = new PassThrough();
input.write('one\ntwo\n');
const second = await run(['head', '-n', '2'], input);

const forward = new PortForward(config);
const server = createServer((socket) => {
    forward.portForward(namespace, web, [Number(port)], socket, null, socket).catch(() => socket.destroy());
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const answer = await new Promise((resolve, reject) => {
    const socket = connect(server.address().port, '127.0.0.1');
    const text = gathered(socket);
    socket.on('error', reject);
    socket.on('data', () => text().includes('Skiff!') && resolve(text()));
    socket.on('close', () => resolve(text()));
    socket.write('GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n');
});
const causes = first.status.details?.causes ?? [];
console.log(
    JSON.stringify({
        stdout: first.stdout,
        stderr: first.stderr,
        code: Number(causes.find((cause) => cause.reason === 'ExitCode')?.message),
        echo: second.stdout,
        answer,
        error: '',
    }),
);
process.exit(0);
