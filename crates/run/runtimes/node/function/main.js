// Counts the rows of a table by the values of one column.

export function count(rows, by, least = 1) {
  if (rows.length !== 0 && !(by in rows[0])) throw new Error(`there is no column ${by}`)
  const counts = new Map()
  for (const row of rows) counts.set(row[by], (counts.get(row[by]) ?? 0) + 1)
  const kept = [...counts].filter(([, count]) => least <= count)
  return Object.fromEntries(kept.sort(([one], [other]) => (one < other ? -1 : 1)))
}

const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value)

export function transform(data, ctx) {
  const { by, least } = ctx.args
  const rows = data.rows()
  const kept = count(rows, by, least)
  console.log(`counted ${rows.length} rows`)
  const lines = Object.entries(kept).map(([value, count]) => `${quoted(value)},${count}\r\n`)
  ctx.write('counts.csv', [`${quoted(by)},rows\r\n`, ...lines].join(''))
  return kept
}
