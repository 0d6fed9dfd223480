// SPDX-License-Identifier: BSD-2-Clause
// Extended attributes: a list of them in memory, and the rules of the calls (vfs::*_xattr).
#pragma once

#include <vfs/vnode.hpp>

namespace lentil {

/// setxattr(2)'s flags, Linux values.
namespace xattr_flags {
inline constexpr uint32_t create = 1, replace = 2;
}
inline constexpr size_t xattr_name_max = 255, xattr_value_max = 65536, xattr_list_max = 65536;

/// The attributes of one node. Whoever has it locks it.
class XattrList {
public:
    static constexpr const char* zone_name = "xattr_lists";
    struct Entry {
        static constexpr const char* zone_name = "xattrs";
        Buffer<char> name, value;
        Entry* next = nullptr;
        std::string_view name_view() const { return {name.data(), name.size()}; }
        std::string_view value_view() const { return {value.data(), value.size()}; }
    };
    XattrList() = default;
    XattrList(const XattrList&) = delete;
    XattrList& operator=(const XattrList&) = delete;
    ~XattrList();

    /// Its length; copied if there is room for a byte at all: range if it does not fit. nodata.
    Result<size_t> get(std::string_view name, std::span<char> value) const;
    /// exist and nodata as `flags` ask; nospc if names and values are more than `limit` bytes then.
    Result<void> set(std::string_view name, std::string_view value, uint32_t flags, size_t limit);
    Result<void> remove(std::string_view name);
    /// The names, each with a 0 behind it; length and range as in get. `trusted.` ones only if `trusted`.
    Result<size_t> list(std::span<char> names, bool trusted) const;
    /// At the end, without a look whether it is there.
    Result<void> append(std::string_view name, std::string_view value);
    Entry* first() const { return first_; }
    size_t bytes() const;

private:
    static Result<Entry*> make(std::string_view name, std::string_view value);
    Entry** find(std::string_view name);
    Entry* first_ = nullptr;
};

struct VfsContext;

namespace vfs {
// `value` and `names` may be empty: then only the length is told.
Result<size_t> get_xattr(const VfsContext& context, Vnode& node, std::string_view name, std::span<char> value);
Result<void> set_xattr(const VfsContext& context, Vnode& node, std::string_view name, std::string_view value,
                       uint32_t flags);
Result<void> remove_xattr(const VfsContext& context, Vnode& node, std::string_view name);
Result<size_t> list_xattrs(const VfsContext& context, Vnode& node, std::span<char> names);
} // namespace vfs

} // namespace lentil
