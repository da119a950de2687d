// Makes centernet.json: what TensorFlow.js itself answers for the original detector.
//
//   npm i @tensorflow/tfjs-core@4.22.0 @tensorflow/tfjs-converter@4.22.0 @tensorflow/tfjs-backend-cpu@4.22.0
//   node make_centernet.mjs PACKAGE/models > centernet.json
//
// The network is published for 512 x 512; the sizes that its three upsamplings aim at are constants
// of the graph. For 288 x 512 they, and the input's shape, are replaced: they double, as before.

import fs from 'node:fs'
import * as tf from '@tensorflow/tfjs-core'
import { loadGraphModel } from '@tensorflow/tfjs-converter'
import { version_cpu as version } from '@tensorflow/tfjs-backend-cpu'

const HEAT = 'tower_0/keypoints'
const SIZES = [[512, 512], [288, 512]]
const CLASSES = 80
const BLOCK = 24

// Coarse coloured blocks with fine noise, uint8 [H,W,3]; the same generator is in the test.
function picture(height, width) {
  let state = 1
  const next = () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state >>> 24 }
  const columns = Math.ceil(width / BLOCK)
  const blocks = Array.from({ length: Math.ceil(height / BLOCK) * columns * 3 }, next)
  const pixels = new Float32Array(height * width * 3)
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const block = (Math.floor(y / BLOCK) * columns + Math.floor(x / BLOCK)) * 3
      for (let c = 0; c < 3; c++, i++) pixels[i] = (3 * blocks[block + c] + next()) >> 2
    }
  }
  return tf.tensor4d(pixels, [1, height, width, 3])
}

function artifacts(folder, [height, width]) {
  const document = JSON.parse(fs.readFileSync(`${folder}/centernet.json`))
  const bytes = fs.readFileSync(`${folder}/centernet.bin`)
  const weightSpecs = document.weightsManifest.flatMap((group) => group.weights)
  const topology = document.modelTopology
  const shape = (dims) => ({ dim: dims.map((size) => ({ size: String(size) })) })
  const entry = topology.node.find((node) => node.op === 'Placeholder')
  entry.attr.shape.shape = shape([1, height, width, 3])
  document.signature.inputs['tower_0/images'].tensorShape = shape([1, height, width, 3])
  const targets = topology.node.filter((node) => node.op === 'ResizeBilinear').map((node) => node.input[1])
  let offset = 0
  for (const spec of weightSpecs) {
    const half = spec.quantization?.dtype === 'float16'
    const count = spec.shape.reduce((a, b) => a * b, 1)
    if (targets.includes(spec.name)) {
      for (const [i, side] of [height, width].entries()) {
        const published = bytes.readInt32LE(offset + 4 * i)
        bytes.writeInt32LE((published * side) / 512, offset + 4 * i)
      }
    }
    offset += count * (half ? 2 : 4)
  }
  const weightData = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)
  return { modelTopology: topology, weightSpecs, weightData, signature: document.signature, format: document.format }
}

await tf.setBackend('cpu')
const result = {
  made_with: `make_centernet.mjs, @tensorflow/tfjs-core ${tf.version_core}, backend cpu ${version}, node ${process.version}`,
  sizes: {},
}
for (const size of SIZES) {
  const model = await loadGraphModel({ load: async () => artifacts(process.argv[2], size) })
  const heat = model.execute(picture(...size), HEAT)
  const [, rows, columns] = heat.shape
  const values = heat.dataSync()
  const peaks = new Array(CLASSES).fill(0)
  values.forEach((value, i) => { peaks[i % CLASSES] = Math.max(peaks[i % CLASSES], value) })
  const person = []  // class 0 along the borders, where padding shows, and down the middle
  const at = (row, column) => person.push([row, column, round(values[(row * columns + column) * CLASSES])])
  for (let column = 0; column < columns; column += 8) { at(0, column); at(rows - 1, column) }
  for (let row = 0; row < rows; row += 8) { at(row, 0); at(row, columns - 1); at(row, columns / 2) }
  result.sizes[size.join('x')] = { shape: heat.shape, peaks: peaks.map(round), person }
}
console.log(JSON.stringify(result).replace(/,"(sizes|\d+x\d+|shape|peaks|person)"/g, ',\n"$1"'))

function round(value) { return Number(value.toPrecision(6)) }
