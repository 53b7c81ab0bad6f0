interface HasMiddleware {
  readonly middlewareStack: {
    add(
      middleware: (
        next: (args: never) => Promise<never>,
      ) => (args: { request: unknown }) => Promise<never>,
      options: { step: 'build'; name: string },
    ): void;
  };
}

/**
 * Signs the body's sha256 into the request: the endpoint must refuse a body that is another, by
 * Signature Version 4 itself. For streams the SDK would sign UNSIGNED-PAYLOAD instead.
 */
export function signBody(command: unknown, sha256: string): void {
  (command as HasMiddleware).middlewareStack.add(
    (next) => (args) => {
      const request = args.request as { headers: Record<string, string> };
      request.headers['x-amz-content-sha256'] = sha256;
      return next(args as never);
    },
    { step: 'build', name: 'dropbackSignBody' },
  );
}
