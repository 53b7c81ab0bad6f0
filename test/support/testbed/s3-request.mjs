/** One signed S3 request (AWS Signature Version 4, path style), with nothing but Node. */
import { createHash, createHmac } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';

/**
 * @param {{endpoint: string, accessKeyId: string, secretAccessKey: string, region: string}} target
 * @param {'GET' | 'PUT' | 'HEAD' | 'DELETE'} method
 * @param {string} path  begins with a slash; plain letters, no query
 * @param {string} [body]
 * @returns {Promise<{status: number, body: string}>}
 */
export function s3Request(target, method, path, body = '') {
  const url = new URL(path, target.endpoint);
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  const day = time.slice(0, 8);
  const bodyHash = sha256(body);
  const headers = { host: url.host, 'x-amz-content-sha256': bodyHash, 'x-amz-date': time };
  const signed = Object.keys(headers).join(';');
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
  const canonical = [method, url.pathname, '', lines.join(''), signed, bodyHash].join('\n');
  const scope = `${day}/${target.region}/s3/aws4_request`;
  const text = ['AWS4-HMAC-SHA256', time, scope, sha256(canonical)].join('\n');
  const key = [day, target.region, 's3', 'aws4_request'].reduce(
    hmac,
    `AWS4${target.secretAccessKey}`,
  );
  const authorization =
    `AWS4-HMAC-SHA256 Credential=${target.accessKeyId}/${scope}, SignedHeaders=${signed}, ` +
    `Signature=${hmac(key, text).toString('hex')}`;
  return send(url, { method, headers: { ...headers, authorization } }, body);
}

function send(url, options, body) {
  const start = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const sent = start(url, { ...options, agent: false, timeout: 10_000 }, (response) => {
      let text = '';
      response.on('data', (chunk) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode, body: text }));
      response.on('error', reject);
    });
    sent.on('timeout', () => sent.destroy(new Error(`${url.host} did not answer in 10 s`)));
    sent.on('error', reject);
    sent.end(body);
  });
}

function sha256(text) {
  return createHash('sha256').update(text).digest('hex');
}

function hmac(key, text) {
  return createHmac('sha256', key).update(text).digest();
}
