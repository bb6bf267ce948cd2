import type { StkRig } from './stk-rig.ts';

export type Settings = Readonly<Record<string, unknown>>;

/** A shell in an image, from nothing. */
export const SHELL: Settings = {
  from: 'scratch',
  build_only: true,
  imports: [{ path: '/bin/busybox', dest: '/bin/busybox', mode: '0755' }],
  run: '#!/bin/busybox sh\n/bin/busybox --install -s /bin\nmkdir -p /etc /tmp\nchmod 1777 /tmp',
};

export const onShell = (settings: Settings): Settings => ({
  shell: SHELL,
  app: { from: { type: 'built', tag: 'shell' }, ...settings },
});

export async function inspectImage(rig: StkRig, image: string) {
  return JSON.parse(await rig.ok(['inspect', image, '--json'])) as {
    readonly layers: readonly { readonly role: string; readonly digest: string }[];
    readonly config: {
      readonly config: Settings;
      readonly history: readonly Settings[];
      readonly architecture: string;
    };
    readonly annotations: Readonly<Record<string, string>>;
  };
}
