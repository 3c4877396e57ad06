// Usage: node driver.cjs chromium|firefox EXECUTABLE PROFILE FLAGS
// A browser as it is installed, driven by the npm package `puppeteer-core`. Orders come in as lines of JSON,
// {"nth", "order", "tab"?, …}, and each is answered by a line {"nth", "value"} or {"nth", "error"}. All tabs are of one profile,
// so they share what tabs of one origin share. It ends, and the browser with it, when its input ends.
const { createInterface } = require('node:readline')
const puppeteer = require('puppeteer-core')

const [kind, executablePath, userDataDir, flags] = process.argv.slice(2)

// No update, no report and no other call to anybody: what it loads comes from the test.
const quiet = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--no-proxy-server'
]

const settings = {
  'network.proxy.type': 0,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'app.update.auto': false,
  'browser.safebrowsing.downloads.remote.enabled': false,
  'services.settings.server': 'data:,#remote-settings-dummy/v1',
  'toolkit.telemetry.server': 'data:,'
}

// Whoever gives the orders waits no longer, and says more of what was awaited.
const PATIENCE = 60_000

const tabs = new Map()
let browser
let last = 0

/** @param {import('puppeteer-core').Page} page */
function listen (page) {
  const tab = { page, complaints: [] }
  page.setDefaultTimeout(PATIENCE)
  page.on('pageerror', (error) => tab.complaints.push(String(error)))
  page.on('console', (message) => { if (message.type() === 'error') tab.complaints.push(message.text()) })
  return tab
}

// A script is the body of an async function, and sees `given`.
const body = (script) => `(async (given) => { ${script} })`
const call = (page, script, given) => page.evaluate(`${body(script)}(${JSON.stringify(given ?? null)})`)

const orders = {
  async open ({ url, view, cookies = [] }) {
    const tab = listen(await browser.newPage())
    if (view) await look(tab.page, view)
    if (cookies.length > 0) await browser.setCookie(...cookies)
    // Others are opened meanwhile.
    const id = ++last
    tabs.set(id, tab)
    await tab.page.goto(url, { waitUntil: 'load' })
    return id
  },
  goto: ({ page, url }) => page.goto(url, { waitUntil: 'load' }).then(() => null),
  reload: ({ page }) => page.reload({ waitUntil: 'load' }).then(() => null),
  front: ({ page }) => page.bringToFront().then(() => null),
  run: ({ page, script, given }) => call(page, script, given),
  // Looks anew after each frame or so; a tab that is not painted has no frames.
  async until ({ page, script, given, patience }) {
    for (const end = Date.now() + patience; ;) {
      const seen = await call(page, script, given)
      if (seen) return seen
      if (Date.now() > end) {
        const shown = await page.evaluate('document.body.innerText.slice(0, 2000)')
        throw new Error(`never: ${script}\nThe page shows: ${shown}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  },
  view: ({ page, view }) => look(page, view).then(() => null),
  picture: ({ page, path, fold }) => page.screenshot({ path, fullPage: !fold }).then(() => null),
  complaints: ({ complaints }) => complaints.splice(0),
  // Chromium alone: what it does to a tab that nobody has looked at for long, or to all of them while the machine sleeps.
  freeze: ({ page }) => lifecycle(page, 'frozen'),
  thaw: ({ page }) => lifecycle(page, 'active'),
  // Chromium alone: the process of the page ends as by a fault of its own. Nothing answers that.
  async crash ({ page, tab }) {
    const session = await page.createCDPSession()
    const crashed = new Promise((resolve) => session.once('Inspector.targetCrashed', resolve))
    await session.send('Inspector.enable')
    session.send('Page.crash').catch(() => {})
    await crashed
    tabs.delete(tab)
    return null
  },
  async press ({ page, key }) { await page.keyboard.press(key); return null },
  async close ({ page, tab }) { tabs.delete(tab); await page.close(); return null }
}

async function lifecycle (page, state) {
  const session = await page.createCDPSession()
  await session.send('Page.setWebLifecycleState', { state })
  await session.detach()
  return null
}

async function look (page, { width, height, dark = false, scale = 1 }) {
  await page.setViewport({ width, height, deviceScaleFactor: scale })
  if (kind === 'firefox') return
  await page.emulateMediaFeatures([
    { name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' },
    { name: 'prefers-reduced-motion', value: 'reduce' }
  ])
}

async function carryOut ({ nth, order, ...what }) {
  try {
    const of = what.tab === undefined ? {} : tabs.get(what.tab)
    if (!of) throw new Error(`there is no tab ${what.tab}`)
    const value = await orders[order]({ ...what, ...of })
    console.log(JSON.stringify({ nth, value: value ?? null }))
  } catch (error) {
    console.log(JSON.stringify({ nth, error: String(error.message ?? error) }))
  }
}

async function main () {
  browser = await puppeteer.launch({
    browser: kind === 'firefox' ? 'firefox' : 'chrome',
    executablePath,
    userDataDir,
    acceptInsecureCerts: true,
    defaultViewport: { width: 1280, height: 900 },
    timeout: PATIENCE,
    protocolTimeout: PATIENCE,
    ...kind === 'firefox' ? { extraPrefsFirefox: settings } : { pipe: true, args: [...quiet, ...JSON.parse(flags)] }
  })
  console.log(JSON.stringify({ nth: 0, value: await browser.version() }))
  for await (const line of createInterface({ input: process.stdin })) void carryOut(JSON.parse(line))
  await browser.close()
}

main().then(() => process.exit(0), (error) => {
  console.log(JSON.stringify({ nth: 0, error: String(error.message ?? error) }))
  process.exit(1)
})
