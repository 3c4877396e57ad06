// Who the users are, who is logged in, and what weir is told of them. A real application has passwords, and a database.
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { SignJWT } from 'jose'

const { WEIR_JWT_SECRET_FILE, TOKEN_SECONDS = '600' } = process.env
const key = readFileSync(WEIR_JWT_SECRET_FILE)

/** How long a token for the page is good. It gets another one before that, as long as its user is logged in. */
export const tokenSeconds = Number(TOKEN_SECONDS)

const guild = (id, name) => ({ id, name })
export const users = [
  { id: '1', name: 'Ada', operator: true, guilds: [guild('10', 'Analytical Engines'), guild('11', 'Tea and Tables'), guild('12', 'Night Shift')] },
  { id: '2', name: 'Grace', operator: false, guilds: [guild('20', 'Nanoseconds'), guild('11', 'Tea and Tables')] },
  { id: '3', name: 'Linus', operator: false, guilds: [guild('30', 'Kernel Corner')] }
]

const sessions = new Map()

const cookie = (request) => /(?:^|; )guild_session=([^;]+)/.exec(request.headers.cookie ?? '')?.[1]

export const userOf = (request) => sessions.get(cookie(request))

/** What to set as cookie. No page can read it, and no other site's page can use it to post. */
export function logIn (user) {
  const session = randomUUID()
  sessions.set(session, user)
  return `guild_session=${session}; HttpOnly; SameSite=Lax; Path=/`
}

export function logOut (request) {
  sessions.delete(cookie(request))
}

export function logOutEverywhere (user) {
  for (const [session, of] of sessions) if (of === user) sessions.delete(session)
}

/** A token for weir, which says what its bearer may do there. */
function token (subject, weir, seconds) {
  const made = new SignJWT({ weir }).setProtectedHeader({ alg: 'HS256' }).setSubject(subject)
  return made.setIssuedAt().setExpirationTime(`${seconds} s`).sign(key)
}

/** For the page: it may follow its own user's session, and do nothing else. */
export const pageToken = (user) => token(user.id, { subscribe: ['user:{sub}'] }, tokenSeconds)

/** For this server: it may publish to every user, and follow none. */
export const serverToken = () => token('guild-updates', { publish: ['user:*'] }, 60)
