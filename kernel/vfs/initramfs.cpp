// SPDX-License-Identifier: BSD-2-Clause
// Puts the entries of a cpio archive into the root file system.
#include <libkern/format.hpp>
#include <vfs/cpio.hpp>
#include <vfs/initramfs.hpp>
#include <vfs/mount.hpp>
#include <vfs/name_cache.hpp>
#include <vfs/vfs.hpp>
#include <vm/zalloc.hpp>

namespace lentil {

namespace {

/// A file with several names, until the archive's trailer.
struct LinkedFile {
    static constexpr const char* zone_name = "initramfs_links";
    uint32_t inode, dev_major, dev_minor;
    RefPtr<Vnode> node;
    LinkedFile* next;
};

class Unpacker final : public CpioVisitor {
public:
    explicit Unpacker(VfsContext context) : context_(std::move(context)) {}
    Unpacker(const Unpacker&) = delete;
    Unpacker& operator=(const Unpacker&) = delete;
    ~Unpacker() { trailer(); }

    Result<void> begin(const CpioEntry& e) override {
        counts.entries++;
        remember_name(e.name);
        node_.reset();
        at_ = 0;
        const VnodeType type = TRY(type_of_mode(e.mode));
        Located where;
        TRY(place(e.name, where));
        if (type == VnodeType::directory && where.node && where.node->type == VnodeType::directory) {
            node_ = std::move(where.node);
            return set_attributes(e);
        }
        if (where.kind != LastName::normal)
            return Errno::exist;
        if (LinkedFile* first = type == VnodeType::regular && e.links >= 2 ? find_link(e) : nullptr) {
            if (where.node != first->node) {
                TRY(clear(where));
                const NameChange change(*where.parent, where.name);
                name_cache::forget(*first->node);
                TRY(where.parent->link(where.name, *first->node));
            }
            node_ = first->node; // whichever name comes with the contents, they are the file's
            return {};
        }
        TRY(clear(where));
        const NameChange change(*where.parent, where.name);
        node_ = TRY(where.parent->create(
            where.name, {type, e.mode & 07777, e.uid, e.gid, make_device(e.rdev_major, e.rdev_minor), e.target}));
        if (type == VnodeType::regular && e.links >= 2)
            links_ = TRY(zone_new<LinkedFile>(LinkedFile{e.inode, e.dev_major, e.dev_minor, node_, links_}));
        return {};
    }

    Result<void> data(std::span<const uint8_t> bytes) override {
        Uio uio = Uio::kernel(const_cast<uint8_t*>(bytes.data()), bytes.size());
        const size_t n = TRY(node_->write_at(uio, at_, false));
        if (n < bytes.size())
            return Errno::nospc;
        at_ += static_cast<off_t>(n);
        counts.bytes += n;
        return {};
    }

    Result<void> end(const CpioEntry& e) override { return set_attributes(e); }

    void trailer() override {
        while (links_) {
            LinkedFile* gone = links_;
            links_ = gone->next;
            zone_delete(gone);
        }
    }

    std::string_view name() const { return {name_, name_length_}; }
    InitramfsCounts counts;

private:
    /// Where `name` is to be; directories on the way that are missing are made.
    Result<void> place(std::string_view name, Located& where) {
        const Result<void> found = walk(context_, context_.root.get(), name, walk_flags::parent, where);
        if (found || found.error() != Errno::noent)
            return found;
        for (size_t slash = name.find('/', 1); slash != name.npos; slash = name.find('/', slash + 1)) {
            const Result<void> made = vfs::mkdir(context_, vfs::at_cwd, name.substr(0, slash), 0755);
            if (!made && made.error() != Errno::exist)
                return made.error();
        }
        return walk(context_, context_.root.get(), name, walk_flags::parent, where);
    }

    /// A later entry replaces an earlier one of the same name.
    Result<void> clear(Located& where) {
        if (!where.node)
            return {};
        const bool directory = where.node->type == VnodeType::directory;
        where.node.reset();
        const NameChange change(*where.parent, where.name);
        return directory ? where.parent->rmdir(where.name) : where.parent->unlink(where.name);
    }

    LinkedFile* find_link(const CpioEntry& e) {
        for (LinkedFile* l = links_; l; l = l->next)
            if (l->inode == e.inode && l->dev_major == e.dev_major && l->dev_minor == e.dev_minor)
                return l;
        return nullptr;
    }

    Result<void> set_attributes(const CpioEntry& e) {
        AttributeChange change;
        change.set_mode = change.set_uid = change.set_gid = change.set_mtime = true;
        change.mode = e.mode & 07777;
        change.uid = e.uid;
        change.gid = e.gid;
        change.mtime = nanos_t{e.mtime} * 1000000000;
        return node_->change(change);
    }

    void remember_name(std::string_view name) { name_length_ = name.copy(name_, sizeof name_); }

    const VfsContext context_;
    RefPtr<Vnode> node_;
    off_t at_ = 0;
    LinkedFile* links_ = nullptr;
    char name_[80];
    size_t name_length_ = 0;
};

} // namespace

Result<InitramfsCounts> initramfs_unpack(std::span<const uint8_t> archive, std::span<char> message,
                                         size_t& message_length) {
    constexpr CpioMemory memory{kmalloc, kfree};
    message_length = 0;
    Unpacker unpacker(TRY(VfsContext::kernel()));
    CpioError error;
    if (cpio_read(archive, memory, unpacker, error))
        return unpacker.counts;
    const std::string_view name = unpacker.name();
    if (name.empty())
        message_length = format_to(message, "{} (at byte {} of {})", error.text, error.offset, archive.size()).size();
    else
        message_length = format_to(message, "{}: {} (at byte {} of {}, at or after entry {})", error.text,
                                   errno_text(error.error), error.offset, archive.size(), name)
                             .size();
    return error.error;
}

} // namespace lentil
