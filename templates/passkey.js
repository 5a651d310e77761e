// Asks the browser for a passkey (WebAuthn) where a form of ours has a question for it, and sends the form with the answer.
// Without this script such buttons stay hidden, and every form works as before.
'use strict';
(() => {
  if (!window.PublicKeyCredential || !navigator.credentials) return;
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (letter) => letter.charCodeAt(0));
  const text = (buffer) => btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(''))
    .replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  const listed = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

  async function get(options) {
    const publicKey = { ...options, challenge: bytes(options.challenge), allowCredentials: listed(options.allowCredentials) };
    const { response, ...made } = await navigator.credentials.get({ publicKey }).then(opened);
    return {
      ...made,
      response: {
        authenticatorData: text(response.authenticatorData),
        clientDataJSON: text(response.clientDataJSON),
        signature: text(response.signature),
        userHandle: response.userHandle ? text(response.userHandle) : null,
      },
    };
  }

  async function create(options) {
    const user = { ...options.user, id: bytes(options.user.id) };
    const publicKey = { ...options, user, challenge: bytes(options.challenge), excludeCredentials: listed(options.excludeCredentials) };
    const { response, ...made } = await navigator.credentials.create({ publicKey }).then(opened);
    return {
      ...made,
      response: {
        attestationObject: text(response.attestationObject),
        clientDataJSON: text(response.clientDataJSON),
        transports: response.getTransports ? response.getTransports() : [],
      },
    };
  }

  const opened = (credential) => ({
    id: credential.id, rawId: text(credential.rawId), type: credential.type, extensions: {}, response: credential.response,
  });

  for (const button of document.querySelectorAll('button[data-passkey]')) {
    const { form } = button;
    const problem = form.querySelector('[data-passkey-problem]');
    const asks = button.dataset.passkey === 'create' ? create : get;
    button.addEventListener('click', async () => {
      // The passkey is there instead of a code.
      for (const field of form.querySelectorAll('[data-passkey-instead]')) field.required = false;
      if (!form.reportValidity()) return;
      problem.hidden = true;
      button.disabled = true;
      try {
        form.elements.assertion.value = JSON.stringify(await asks(JSON.parse(button.dataset.question)));
        form.submit();
      } catch {
        // Whether the person said no, waited too long or has none is the browser's secret.
        problem.hidden = false;
        button.disabled = false;
      }
    });
    (button.closest('[data-passkey-only]') || button).hidden = false;
    button.hidden = false;
  }
})();
