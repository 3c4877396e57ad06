// Usage: node browser.cjs CHROMIUM FLAGS STEPS
// Chromium itself, driven by the npm package `playwright-core`. FLAGS are a JSON array of its flags, STEPS one of
// {"page", "script", "cookies"?, "strict"?, "view"?, "picture"?}: in a profile of its own each page is opened, given these cookies,
// and told to run the script. What the script returns is printed, one line of JSON for each step. A strict page keeps its own
// policy, and all that it asked for and complained of is printed with the result. A view has a size, may be dark,
// and has a fold where the picture ends with it.
const { chromium } = require('playwright-core')

const [executablePath, flags, steps] = process.argv.slice(2)

// No update, no report and no other call to anybody: what it loads comes from the test.
const quiet = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--no-proxy-server'
]

// What scripts of pages have besides what every page has.
function helpers () {
  const bounded = (promise) => Promise.race([
    promise,
    new Promise((resolve) => setTimeout(resolve, 8000, { late: true }))
  ])

  // Opens a stream and gives what `count` events say, or that the browser gave up on it. `once` runs when it is open.
  window.subscribe = (url, { count = 1, credentials = false, once = () => {} } = {}) => bounded(
    new Promise((resolve) => {
      const source = new EventSource(url, { withCredentials: credentials })
      const seen = []
      const end = (more) => { source.close(); resolve({ seen, ...more }) }
      source.addEventListener('weir.connected', () => {
        if (count === 0) end({ open: true })
        else once()
      })
      source.addEventListener('message', ({ data, lastEventId }) => {
        seen.push({ data, id: lastEventId })
        if (seen.length === count) end({ open: true })
      })
      source.addEventListener('error', () => end({ open: false, closed: source.readyState === EventSource.CLOSED }))
    })
  )

  // Makes a call and gives what the page may see of the answer.
  window.call = (url, options) => bounded(
    fetch(url, options).then(
      async (answer) => ({
        status: answer.status,
        type: answer.type,
        headers: Object.fromEntries(answer.headers),
        text: await answer.text()
      }),
      (error) => ({ error: error.name })
    )
  )
}

async function main () {
  const browser = await chromium.launch({ executablePath, args: [...quiet, ...JSON.parse(flags)] })
  for (const { page: address, script, cookies = [], strict = false, view, picture } of JSON.parse(steps)) {
    const context = await browser.newContext({
      // A policy of the page's own must not hide what the server would let it do.
      bypassCSP: !strict,
      ignoreHTTPSErrors: true,
      ...view && { viewport: { width: view.width, height: view.height }, colorScheme: view.dark ? 'dark' : 'light' },
      ...view && { deviceScaleFactor: view.scale ?? 1, reducedMotion: 'reduce' }
    })
    context.setDefaultTimeout(10_000)
    await context.addInitScript(helpers)
    await context.addCookies(cookies)
    const page = await context.newPage()
    const [asked, errors] = [[], []]
    page.on('request', (request) => asked.push(request.url()))
    page.on('pageerror', (error) => errors.push(String(error)))
    page.on('console', (message) => { if (message.type() === 'error') errors.push(message.text()) })
    await page.goto(address)
    const result = await page.evaluate(`(async () => { ${script} })()`)
    if (picture) await page.screenshot({ path: picture, fullPage: !view?.fold })
    console.log(JSON.stringify(strict ? { result, asked, errors } : result))
    await context.close()
  }
  await browser.close()
}

// Whatever the test does, this process does not stay.
setTimeout(() => process.exit(3), 100_000)
main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1) })
