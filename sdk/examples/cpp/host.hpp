// What C++ adds to the SDK's header: a JSON writer that closes what it opened, results that are freed, and a wall that no exception passes.
#ifndef CPP_TALLY_HOST_HPP
#define CPP_TALLY_HOST_HPP

#include <mortise/json.h>

#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

namespace host {

inline mt_slice slice(std::string_view s) { return mt_bytes(s.data(), s.size()); }
inline std::string_view view(mt_slice s) { return s.p ? std::string_view(s.p, s.len) : std::string_view(); }

// A call of the host failed: its problem is set already.
struct failed {
    mt_status status;
};

inline void check(mt_status s)
{
    if (s != MT_OK)
        throw failed{s};
}

// The rows of a query. Freed at the end of the scope; the host would do so at the end of the call.
class rows {
public:
    rows(mt_call *c, std::string_view query) : c_(c) { check(mt_db_query(c, slice(query), nullptr, 0, &result_)); }
    ~rows() { mt_db_free(c_, result_); }
    rows(const rows &) = delete;
    rows &operator=(const rows &) = delete;

    uint32_t size() const { return mt_db_rows(c_, result_); }
    std::string_view value(uint32_t row, std::string_view column) const { return view(mt_db_value(c_, result_, row, slice(column))); }

private:
    mt_call *c_;
    mt_handle result_ = 0;
};

// An object or array of a JSON text, open for the scope.
class scope {
public:
    enum kind { object, array };
    scope(mt_writer &w, kind k, const char *name = nullptr) : w_(w) { k == array ? mt_write_array(&w, name) : mt_write_object(&w, name); }
    ~scope() { mt_write_close(&w_); }
    scope(const scope &) = delete;
    scope &operator=(const scope &) = delete;

private:
    mt_writer &w_;
};

// handler<f> is an mt_handler_fn around void f(mt_call *): what f throws ends here, as a status with its problem.
// C++ may unwind a fiber's stack, so destructors run; it may not unwind the host's.
template <void (*f)(mt_call *)> mt_status handler(void *, mt_call *c) noexcept
{
    try {
        f(c);
        return MT_OK;
    } catch (const failed &e) {
        return e.status;
    } catch (const std::out_of_range &) {
        return mt_problem(c, 404, MT_SLICE("not_found"), MT_SLICE("There is no such thing here."), mt_str(nullptr));
    } catch (const std::bad_alloc &) {
        return MT_NO_MEMORY;
    } catch (...) {
        return MT_INTERNAL;
    }
}

} // namespace host

#endif
