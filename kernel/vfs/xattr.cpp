// SPDX-License-Identifier: BSD-2-Clause
// Extended attributes: see xattr.hpp. Who may do what: xattr(7).
#include <cstring>

#include <vfs/access.hpp>
#include <vfs/lookup.hpp>
#include <vfs/xattr.hpp>

namespace lentil {

// ---- the list ----------------------------------------------------------------------------------------------------------

XattrList::~XattrList() {
    while (Entry* e = first_) {
        first_ = e->next;
        zone_delete(e);
    }
}

Result<XattrList::Entry*> XattrList::make(std::string_view name, std::string_view value) {
    Buffer<char> own_name = TRY(Buffer<char>::create_uninitialized(name.size()));
    Buffer<char> own_value = TRY(Buffer<char>::create_uninitialized(value.size()));
    memcpy(own_name.data(), name.data(), name.size());
    if (!value.empty())
        memcpy(own_value.data(), value.data(), value.size());
    Entry* e = TRY(zone_new<Entry>());
    e->name = std::move(own_name);
    e->value = std::move(own_value);
    return e;
}

XattrList::Entry** XattrList::find(std::string_view name) {
    Entry** at = &first_;
    while (*at && (*at)->name_view() != name)
        at = &(*at)->next;
    return at;
}

size_t XattrList::bytes() const {
    size_t sum = 0;
    for (const Entry* e = first_; e; e = e->next)
        sum += e->name.size() + e->value.size();
    return sum;
}

Result<size_t> XattrList::get(std::string_view name, std::span<char> value) const {
    const Entry* const e = *const_cast<XattrList*>(this)->find(name);
    if (!e)
        return Errno::nodata;
    if (value.empty())
        return e->value.size();
    if (e->value.size() > value.size())
        return Errno::range;
    if (e->value.size() > 0)
        memcpy(value.data(), e->value.data(), e->value.size());
    return e->value.size();
}

Result<void> XattrList::append(std::string_view name, std::string_view value) {
    Entry* fresh = TRY(make(name, value));
    Entry** end = &first_;
    while (*end)
        end = &(*end)->next;
    *end = fresh;
    return {};
}

Result<void> XattrList::set(std::string_view name, std::string_view value, uint32_t flags, size_t limit) {
    Entry** const at = find(name);
    Entry* const old = *at;
    if (old && (flags & xattr_flags::create))
        return Errno::exist;
    if (!old && (flags & xattr_flags::replace))
        return Errno::nodata;
    const size_t freed = old ? old->name.size() + old->value.size() : 0;
    if (bytes() - freed + name.size() + value.size() > limit)
        return Errno::nospc;
    Entry* fresh = TRY(make(name, value));
    fresh->next = old ? old->next : nullptr;
    *at = fresh;
    if (old)
        zone_delete(old);
    return {};
}

Result<void> XattrList::remove(std::string_view name) {
    Entry** const at = find(name);
    Entry* const old = *at;
    if (!old)
        return Errno::nodata;
    *at = old->next;
    zone_delete(old);
    return {};
}

Result<size_t> XattrList::list(std::span<char> names, bool trusted) const {
    size_t n = 0;
    for (const Entry* e = first_; e; e = e->next) {
        if (!trusted && e->name_view().starts_with("trusted."))
            continue;
        const size_t length = e->name.size();
        if (!names.empty()) {
            if (n + length + 1 > names.size())
                return Errno::range;
            memcpy(names.data() + n, e->name.data(), length);
            names[n + length] = '\0';
        }
        n += length + 1;
    }
    return n;
}

// ---- the rules -----------------------------------------------------------------------------------------------------------

namespace {

/// Whether the caller may read, or with `write` change, attributes of this name space.
Result<void> check_name(const VfsContext& context, Vnode& node, std::string_view name, bool write) {
    const Cred& cred = *context.cred;
    const auto in = [&](std::string_view space) { return name.starts_with(space); };
    if (write)
        TRY(check_writable(node));
    if (in("security.")) {
        // Attributes of programs' capabilities are kept for others; this kernel grants nothing for them.
        constexpr Capability setfcap{31};
        const Capability needed = name == "security.capability" ? setfcap : Capability::sys_admin;
        if (write && !cred.capable(needed))
            return Errno::perm;
    } else if (in("trusted.")) {
        if (!cred.capable(Capability::sys_admin))
            return write ? Errno::perm : Errno::nodata;
    } else if (in("user.")) {
        if (node.type != VnodeType::regular && node.type != VnodeType::directory)
            return write ? Errno::perm : Errno::nodata;
        if (write && node.type == VnodeType::directory && (node.owner().mode & file_mode::sticky))
            TRY(check_owner(node, cred));
        TRY(check_access(node, cred, write ? may::write : may::read));
    } else {
        return Errno::opnotsupp; // access lists among them
    }
    return name.ends_with('.') && name.find('.') == name.size() - 1 ? Result<void>(Errno::inval) : Result<void>();
}

} // namespace

namespace vfs {

Result<size_t> get_xattr(const VfsContext& context, Vnode& node, std::string_view name, std::span<char> value) {
    TRY(check_name(context, node, name, false));
    return node.get_xattr(name, value);
}

Result<void> set_xattr(const VfsContext& context, Vnode& node, std::string_view name, std::string_view value,
                       uint32_t flags) {
    TRY(check_name(context, node, name, true));
    return node.set_xattr(name, value, flags);
}

Result<void> remove_xattr(const VfsContext& context, Vnode& node, std::string_view name) {
    TRY(check_name(context, node, name, true));
    return node.remove_xattr(name);
}

Result<size_t> list_xattrs(const VfsContext& context, Vnode& node, std::span<char> names) {
    return node.list_xattrs(names, context.cred->capable(Capability::sys_admin));
}

} // namespace vfs

} // namespace lentil
