import { Table, type TableProps } from "antd";
import type { ReactNode } from "react";

export interface Column<T> {
  title: string;
  render: (row: T) => ReactNode;
  align?: "end";
  width?: number | string;
}

interface Props<T> {
  /** What the table is of, for who hears it. */
  name: string;
  rows: readonly T[];
  rowKey: keyof T & string;
  columns: readonly Column<T>[];
  loading?: boolean;
}

/** A table of a page that scrolls sideways where it must. */
export function StaffTable<T extends object>({ name, rows, rowKey, columns, loading = false }: Props<T>): ReactNode {
  const made: TableProps<T>["columns"] = columns.map(({ title, render, align, width }) => ({
    key: title, title, render: (_, row) => render(row), ...(align && { align }), ...(width !== undefined && { width }),
  }));
  return (
    <Table<T>
      aria-label={name}
      rowKey={rowKey}
      columns={made}
      dataSource={rows}
      loading={loading}
      pagination={false}
      size="middle"
      scroll={{ x: "max-content" }}
    />
  );
}
