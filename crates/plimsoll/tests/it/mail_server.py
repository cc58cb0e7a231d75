# SPDX-License-Identifier: Apache-2.0
"""A mail server for tests: STARTTLS or TLS, a login over TLS only; each mail goes to standard output as JSON."""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

certificate, key, password, how = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)


class Mails:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 there is nobody of this name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        got = {
            "tls": server.transport.get_extra_info("sslcontext") is not None,
            "login": bool(session.authenticated),
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": mail["subject"],
            "date": mail["date"].datetime.isoformat(),
            "defects": [str(it) for it in mail.defects],
            "text": mail.get_content(),
        }
        print(json.dumps(got), flush=True)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    fits = data.login == b"plimsoll" and data.password == password.encode()
    return AuthResult(success=fits)


def serve():
    within = how == "starttls"
    return SMTP(
        Mails(),
        hostname="localhost",
        tls_context=context if within else None,
        require_starttls=within,
        authenticator=authenticate,
        auth_required=within,
    )


async def main():
    around = context if how == "tls" else None
    loop = asyncio.get_running_loop()
    server = await loop.create_server(serve, "127.0.0.1", 0, ssl=around)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
