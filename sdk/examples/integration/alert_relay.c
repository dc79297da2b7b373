/*
 * A webhook in, a webhook out. What comes in is checked and queued, so the sender has its answer at once and nothing is lost with the process; the job
 * delivers it, and tries again what may go better later.
 */
#include <mortise/entry.h>

#include <openssl/crypto.h>
#include <openssl/hmac.h>

/* --- in --- */

/* The signature is over the bytes as they came: mt_body, not values read from it. Compared in constant time. */
static bool is_signed(mt_call *c, mt_slice secret)
{
    mt_slice given = mt_header(c, MT_SLICE("x-signature")), body = mt_body(c);
    unsigned char mac[EVP_MAX_MD_SIZE];
    char wanted[7 + 64 + 1] = "sha256=";
    unsigned n = 0;
    if (!secret.len || !HMAC(EVP_sha256(), secret.p, (int)secret.len, (const unsigned char *)body.p, body.len, mac, &n) || n != 32)
        return false;
    for (unsigned i = 0; i < n; i++)
        snprintf(wanted + 7 + 2 * i, 3, "%02x", mac[i]);
    return given.len == sizeof wanted - 1 && !CRYPTO_memcmp(given.p, wanted, given.len);
}

static mt_status on_alert(void *self, mt_call *c)
{
    mt_slice delivery = mt_header(c, MT_SLICE("x-delivery")), payload;
    mt_slice severity = mt_body_text(c, MT_SLICE("/severity")), title = mt_body_text(c, MT_SLICE("/title"));
    if (!is_signed(c, mt_config(c, MT_SLICE("/signing_secret"))))
        return mt_problem(c, 403, MT_SLICE("alert_relay_unsigned"), MT_SLICE("The signature is not that of the body."), mt_str(NULL));
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "id", delivery.len ? delivery : mt_new_id(c));
    mt_write_text(&w, "text", mt_printf(c, "[%.*s] %.*s", (int)severity.len, severity.p, (int)title.len, title.p));
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &payload));
    MT_TRY(mt_queue_put(c, MT_SLICE("alert_relay.deliver"), payload, delivery, 0));
    return mt_respond(c, 202, MT_SLICE("{\"taken\":true}"));
}

/* --- out --- */

/* One exchange. *again: it may go better later; *wait_ms: what the other side asks for. */
static mt_status send(mt_call *c, mt_slice id, mt_slice text, bool *again, int64_t *wait_ms)
{
    int32_t status = 0;
    mt_handle answer;
    mt_slice body;
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "text", text);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &body));
    const mt_field headers[] = {{MT_SLICE("content-type"), MT_SLICE("application/json")}, {MT_SLICE("idempotency-key"), id}};
    const mt_http_exchange x = {.size = sizeof x, .method = MT_SLICE("POST"), .url = mt_config(c, MT_SLICE("/target_url")), .body = body,
                                .timeout_ms = 5000, .idle_ms = 5000, .max_bytes = 65536};
    mt_status s = mt_http_open(c, &x, headers, 2, &status, &answer);
    *again = s == MT_UNAVAILABLE || s == MT_TIMEOUT;
    MT_TRY(s);
    mt_slice after = mt_http_header(c, answer, MT_SLICE("retry-after"));
    if (after.len && after.len < 4)
        *wait_ms = mt_int(after, 0) * 1000;
    mt_http_close(c, answer);
    if (status >= 200 && status < 300)
        return MT_OK;
    *again = status == 429 || status >= 500;
    return mt_problem(c, *again ? 503 : 422, MT_SLICE("alert_relay_refused"), mt_printf(c, "The target answered %d.", status), mt_str(NULL));
}

static int64_t number(mt_call *c, mt_slice pointer)
{
    return mt_int(mt_config(c, pointer), 0);
}

/* The job. Run twice, it sends twice: the id goes along, so that the other side can tell. What fails here is tried again by the queue, except
 * MT_INVALID: that goes to the dead letters at once, with its reason. */
static mt_status on_deliver(void *self, mt_call *c)
{
    int64_t tries = number(c, MT_SLICE("/tries")), pause = number(c, MT_SLICE("/pause_ms"));
    mt_handle job;
    MT_TRY(mt_json_parse(c, mt_body(c), &job));
    for (int64_t n = 1;; n++, pause *= 2) {
        bool again = false;
        int64_t wait_ms = 0;
        mt_status s = send(c, mt_json_text(c, job, MT_SLICE("/id")), mt_json_text(c, job, MT_SLICE("/text")), &again, &wait_ms);
        if (s == MT_OK || !again || n == tries)
            return s;
        MT_TRY(mt_queue_progress(c, n, tries));          /* a new lease for the next try */
        MT_TRY(mt_sleep(c, wait_ms > pause ? wait_ms : pause));
    }
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_handler_entry handlers[] = {{"on_alert", on_alert}, {"on_deliver", on_deliver}};

MT_EXPORT const mt_plugin alert_relay_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "alert_relay", .version = "0.1.0", .load = load, .handlers = handlers, .n_handlers = 2};
