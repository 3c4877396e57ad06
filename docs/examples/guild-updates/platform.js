// Stands for the platform on which the guilds are: a moment after somebody invites the bot there, or puts it out, it
// calls the webhook.
import { randomUUID } from 'node:crypto'

/** It tells more of everybody than anybody needs to know. */
export function invite (application, secret, user, guild, event) {
  const body = {
    delivery: randomUUID(),
    user: { id: user.id, name: user.name, email: `${user.name}@example.com`, locale: 'en' },
    guild: { ...guild, members: 42, owner: user.id, icon: 'a0b1c2' }
  }
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${secret}` }
  const call = () => fetch(`${application}/webhooks/${event}`, { method: 'POST', headers, body: JSON.stringify(body) })
  setTimeout(() => call().catch((error) => console.error(`webhook: ${error.message}`)), 300)
}
