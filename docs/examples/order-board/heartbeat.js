// The client watches over heartbeats and keeps them to itself. This asks for those that a page can see, and looks at what passes.
import { useSyncExternalStore } from 'react'

let last = { at: null, ping: null }
const looking = new Set()

export async function fetchWithHeartbeat (url, options) {
  const answer = await fetch(`${url}&heartbeat=event`, options)
  if (!answer.ok || !answer.body) return answer
  const decoder = new TextDecoder()
  const look = new TransformStream({
    transform (chunk, passed) {
      passed.enqueue(chunk)
      const ping = /event: weir\.ping\n(?:id: .*\n)?data: (.*)/.exec(decoder.decode(chunk, { stream: true }))
      // weir says when it is silent for long that it is there; anything else says so, too.
      last = { at: Date.now(), ping: ping ? JSON.parse(ping[1]).ts : last.ping }
      looking.forEach((changed) => changed())
    }
  })
  return new Response(answer.body.pipeThrough(look), answer)
}

/** When weir was heard last, and what its last heartbeat had for a time. */
export const useHeartbeat = () => useSyncExternalStore((changed) => (looking.add(changed), () => looking.delete(changed)), () => last)
