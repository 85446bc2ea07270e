// Tests of main.js, in the sandbox or outside: `node test_main.js`.

import assert from 'node:assert/strict'
import test from 'node:test'
import { transform } from './main.js'

const BIRDS = [
  { species: 'Adelie', island: 'Dream' },
  { species: 'Gentoo', island: 'Biscoe' },
  { species: 'Adelie', island: 'Biscoe' },
]

function ran(args) {
  const files = {}
  const context = { args, write: (name, text) => { files[name] = text } }
  return { value: transform({ rows: () => BIRDS }, context), files }
}

test('rows are counted by a column', () => {
  const { value, files } = ran({ by: 'species' })
  assert.deepEqual(value, { Adelie: 2, Gentoo: 1 })
  assert.equal(files['counts.csv'], 'species,rows\r\nAdelie,2\r\nGentoo,1\r\n')
})

test('what is rarer is left out', () => {
  assert.deepEqual(ran({ by: 'species', least: 2 }).value, { Adelie: 2 })
})

test('a column that is not there is an error', () => {
  assert.throws(() => ran({ by: 'wing' }), /no column wing/)
})
